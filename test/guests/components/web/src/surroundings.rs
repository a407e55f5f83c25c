//! What the host grants beside HTTP and the store: configuration, log, environment, files.

use std::fmt::Debug;
use std::io::{self, Write};

use wasip2::cli::{environment, stderr, stdout};
use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

use crate::http::{Reply, Request};
use draft::wasi::config::{runtime, store};
use draft::wasi::logging::logging::{self, Level};
use unversioned::wasi::logging::logging as unversioned_logging;

mod draft {
    wit_bindgen::generate!({
        path: ["../wit/config.wit", "../wit/logging-draft.wit"],
        inline: "
            package exosuit:web-surroundings;
            world imports {
                import wasi:config/store@0.2.0-draft;
                import wasi:config/runtime@0.2.0-draft;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        generate_all,
    });
}

mod unversioned {
    wit_bindgen::generate!({
        path: "../wit/logging.wit",
        inline: "package exosuit:web-log; world imports { import wasi:logging/logging; }",
        generate_all,
    });
}

/// `/config?key=K`; without `key`, a line `K=V` for each.
pub(crate) fn config(request: &Request, reply: Reply) {
    configured(request, reply, store::get, store::get_all);
}

/// The same of the interface's older name.
pub(crate) fn config_runtime(request: &Request, reply: Reply) {
    configured(request, reply, runtime::get, runtime::get_all);
}

fn configured<E: Debug>(
    request: &Request,
    reply: Reply,
    get: fn(&str) -> Result<Option<String>, E>,
    get_all: fn() -> Result<Vec<(String, String)>, E>,
) {
    let text = match request.get("key") {
        Some(key) => get(key),
        None => get_all().map(|pairs| Some(lines(pairs))),
    };

    match text {
        Ok(Some(text)) => reply.text(200, &text),
        Ok(None) => reply.text(404, "no such key\n"),
        Err(error) => reply.text(502, &format!("{error:?}\n")),
    }
}

/// `/log?text=T`: at the level info, or the one that `level` names, in the context `context`.
pub(crate) fn log(request: &Request, reply: Reply) {
    let level = match request.get("level") {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some("critical") => Level::Critical,
        _ => Level::Info,
    };
    logging::log(
        level,
        request.get("context").unwrap_or("web"),
        text(request),
    );
    reply.text(200, "logged\n");
}

/// `/log-unversioned?text=T`: at the level info, by the interface without a version.
pub(crate) fn log_unversioned(request: &Request, reply: Reply) {
    unversioned_logging::log(unversioned_logging::Level::Info, "web", text(request));
    reply.text(200, "logged\n");
}

/// `/print?text=T`: a line to the standard output, and one to the standard error.
pub(crate) fn print(request: &Request, reply: Reply) {
    let printed = writeln!(stdout::get_stdout(), "out: {}", text(request))
        .and_then(|()| writeln!(stderr::get_stderr(), "err: {}", text(request)));

    match printed {
        Ok(()) => reply.text(200, "printed\n"),
        Err(error) => reply.text(502, &error.to_string()),
    }
}

fn text(request: &Request) -> &str {
    request.get("text").unwrap_or_default()
}

/// The arguments, a line each, an empty line, and the environment.
pub(crate) fn environment(reply: Reply) {
    let mut text = String::new();
    for argument in environment::get_arguments() {
        text += &format!("{argument}\n");
    }
    text += "\n";
    text += &lines(environment::get_environment());
    reply.text(200, &text);
}

/// `/file?path=P`: what stands in a file below a preopened directory; with `text`, writes that first.
pub(crate) fn file(request: &Request, reply: Reply) {
    let path = request.get("path").expect("a path in the query");
    let Some((directory, path)) = preopened(path) else {
        return reply.text(403, "no preopened directory holds it\n");
    };

    let file = match request.get("text") {
        Some(text) => write(&directory, &path, text),
        None => open(&directory, &path, OpenFlags::empty(), DescriptorFlags::READ),
    };

    match file.and_then(|file| file.read_via_stream(0)) {
        Ok(mut stream) => reply.stream(200, |out| io::copy(&mut stream, out)),
        Err(error) => reply.text(403, &format!("{}\n", error.name())),
    }
}

fn write(directory: &Descriptor, path: &str, text: &str) -> Result<Descriptor, ErrorCode> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = open(
        directory,
        path,
        OpenFlags::CREATE | OpenFlags::TRUNCATE,
        flags,
    )?;
    let mut stream = file.write_via_stream(0)?;
    // Without the flush the file may be read before the host has written it.
    let written = stream
        .write_all(text.as_bytes())
        .and_then(|()| Write::flush(&mut stream));
    written.map_err(|_| ErrorCode::Io)?;
    Ok(file)
}

fn open(
    directory: &Descriptor,
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    directory.open_at(PathFlags::SYMLINK_FOLLOW, path, how, flags)
}

/// The preopened directory above this path, and the way from there.
fn preopened(path: &str) -> Option<(Descriptor, String)> {
    preopens::get_directories()
        .into_iter()
        .find_map(|(directory, name)| {
            let rest = path.strip_prefix(name.trim_end_matches('/'))?;
            Some((directory, rest.strip_prefix('/')?.to_owned()))
        })
}

fn lines(pairs: Vec<(String, String)>) -> String {
    pairs
        .into_iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect()
}

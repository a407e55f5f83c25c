//! `exosuit inspect`: what a module or a component says of itself, before anything runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use exosuit_claims::{Issuers, MAX_WASM, Policy, unix_now};
use exosuit_core::BUILTINS;
use exosuit_inspect::{Description, Interface, Kind, Module, describe};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::files;
use crate::output::{self, printable};

/// The packages that every host answers, with what is granted to the actor.
const SANDBOX: &[&str] = &[
    "wasi:cli",
    "wasi:clocks",
    "wasi:config",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

#[derive(Args)]
#[command(after_long_help = "\
Nothing of the file is compiled or run. For each import, the output says who answers it: the host
itself (with what its actor is granted), a built-in provider, or what the actor is linked to.

Example:
  exosuit inspect shop.wasm")]
pub(crate) struct Inspect {
    /// The module or component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let wasm = files::read(&self.file, MAX_WASM)?;
        let description = describe(&wasm).map_err(|error| {
            let text = format!("{}: {error}", self.file.display());
            Failure::refused("invalid_module", text)
        })?;
        let claims = Claims::of(&wasm);
        if self.json {
            let mut report = json!(description);
            report["claims"] = claims.json();
            answered_json(&mut report, &description);
            return output::line(report);
        }
        output::line(text(&self.file.display().to_string(), &description, &claims).trim_end())
    }
}

/// The claims of the token, and whether it is valid.
enum Claims {
    None,
    Some(Box<exosuit_claims::Inspection>),
    Unreadable(String),
}

impl Claims {
    fn of(wasm: &[u8]) -> Self {
        match exosuit_claims::inspect(wasm, &Policy::strict(Issuers::Any), unix_now()) {
            Ok(inspection) => Self::Some(Box::new(inspection)),
            Err(exosuit_claims::Error::Unsigned) => Self::None,
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Unreadable(error) => json!({"error": error}),
            Self::Some(inspection) => {
                let error = inspection.verdict.as_ref().err().map(ToString::to_string);
                json!({"claims": inspection.claims, "error": error})
            }
        }
    }

    fn line(&self) -> String {
        match self {
            Self::None => "none: a host must allow unsigned actors".to_owned(),
            Self::Unreadable(error) => error.clone(),
            Self::Some(inspection) => {
                let claims = &inspection.claims;
                let name = claims.name.as_deref().unwrap_or("(no name)");
                let may = match &claims.capabilities[..] {
                    [] => "no capabilities".to_owned(),
                    capabilities => capabilities.join(", "),
                };
                let valid = match &inspection.verdict {
                    Ok(()) => "valid".to_owned(),
                    Err(error) => error.to_string(),
                };
                format!("{name}, revision {}, {may}; {valid}", claims.revision)
            }
        }
    }
}

fn text(file: &str, description: &Description, claims: &Claims) -> String {
    let mut out = String::new();
    let kind = match description.kind {
        Kind::Component => "component",
        Kind::WasmbusModule => "wasmbus module",
        Kind::Program => "program of WASI preview 1",
        Kind::Module => "module",
        Kind::WitPackage => "package of WIT",
    };
    let mut row = |label: &str, text: &str| {
        let _ = writeln!(out, "{label:<9} {}", printable(text));
    };
    row("file", file);
    row("kind", kind);
    row("size", &format!("{} bytes", description.size));
    row("claims", &claims.line());
    for (field, tools) in &description.producers {
        let tools: Vec<_> = tools
            .iter()
            .map(|(name, version)| format!("{name} {version}").trim().to_owned())
            .collect();
        row(field_label(field), &tools.join(", "));
    }
    let modules = description.core_modules;
    row(
        "needs",
        &format!(
            "{modules} core module(s), {} KiB of memory",
            description.memory >> 10
        ),
    );
    if let Some(world) = &description.world {
        interfaces(&mut out, "imports", &world.imports, |it| Some(answered(it)));
        interfaces(&mut out, "exports", &world.exports, |_| None);
    }
    if let Some(module) = &description.module {
        core(&mut out, module);
    }
    out
}

fn field_label(field: &str) -> &str {
    match field {
        "processed-by" => "made with",
        field => field,
    }
}

fn interfaces(
    out: &mut String,
    title: &str,
    interfaces: &[Interface],
    answered: impl Fn(&Interface) -> Option<&'static str>,
) {
    let _ = writeln!(out, "\n{title}");
    for interface in interfaces {
        let name = interface.name.as_deref().unwrap_or("(the world itself)");
        let by = answered(interface).map_or_else(String::new, |by| format!("  ({by})"));
        let _ = writeln!(out, "  {}{by}", printable(name));
        for function in &interface.functions {
            let text = format!("{}: {}", function.name, function.signature);
            let _ = writeln!(out, "    {}", printable(&text));
        }
    }
}

fn core(out: &mut String, module: &Module) {
    let _ = writeln!(out, "\nimports");
    for (from, name) in &module.imports {
        let _ = writeln!(out, "  {}", printable(&format!("{from} {name}")));
    }
    let _ = writeln!(out, "\nexports");
    for name in &module.exports {
        let _ = writeln!(out, "  {}", printable(name));
    }
}

/// Who answers the functions of an import on a host.
fn answered(interface: &Interface) -> &'static str {
    let Some((package, _interface)) = interface.name.as_deref().and_then(|it| it.split_once('/'))
    else {
        return "nobody: only interfaces of a package can be linked";
    };
    if SANDBOX.contains(&package) {
        "the host"
    } else if is_builtin(package) {
        "a link, to a built-in provider or another one"
    } else {
        "a link"
    }
}

fn is_builtin(package: &str) -> bool {
    let mut offers = BUILTINS.iter().flat_map(|builtin| builtin.offers);
    offers.any(|offer| offer.contract == package)
}

fn answered_json(report: &mut Value, description: &Description) {
    let Some(world) = &description.world else {
        return;
    };
    for (n, interface) in world.imports.iter().enumerate() {
        report["world"]["imports"][n]["answered_by"] = answered(interface).into();
    }
}

//! `exosuit inspect`: shows the imports, exports and needs of a module or component, without running it.
//!
//! It joins three sources: the file (`exosuit_inspect`), its token (`exosuit_claims`) and, if asked
//! for, the inventory of a host. Who answers an import is computed here from the inventory; the
//! host is not asked a second question.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use exosuit_claims::{Issuers, MAX_WASM, Policy, unix_now};
use exosuit_inspect::{
    Answer, Asker, Description, Interface, Inventory, Kind, Module, answers, describe,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::files;
use crate::host::At;
use crate::output::{self, printable};
use crate::protocol::Command;

#[derive(Args)]
#[command(after_long_help = "\
The file is neither compiled nor run. For each import, the output says who answers it: the host
itself (within the actor's grants), a link, or nobody. Give a host or --id to see who answers on that
host, by its links. Without them, no host is asked.

Examples:
  # Describe a file
  exosuit inspect shop.wasm
  # Show who would answer the imports of the actor `shop` on the host of ./data
  exosuit inspect shop.wasm --id shop --data-dir ./data")]
pub(crate) struct Inspect {
    /// The module or component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The id of the actor on the host; the actor need not run. The links of this id, and those of the token's public
    /// key, decide who answers. An unsigned file needs an id.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.at.reported(|| self.inspect())
    }

    fn inspect(&self) -> Result<(), Failure> {
        let wasm = files::read(&self.file, MAX_WASM)?;
        let description = describe(&wasm).map_err(|error| {
            let text = format!("{}: {error}", self.file.display());
            Failure::refused("invalid_module", text)
        })?;
        let claims = Claims::of(&wasm);
        let inventory = self.inventory()?;
        let asker = claims.asker(self.id.clone());
        let answers = answers(&description, &asker, inventory.as_ref());
        if self.at.json() {
            let mut report = json!(description);
            report["claims"] = claims.json();
            report["answers"] = json!(answers);
            return output::line(report);
        }
        let file = self.file.display().to_string();
        output::line(text(&file, &description, &claims, &answers).trim_end())
    }

    /// Returns the inventory of the host, if a host or an id was given.
    fn inventory(&self) -> Result<Option<Inventory>, Failure> {
        if self.id.is_none() && !self.at.is_given() {
            return Ok(None);
        }
        let inventory = self.at.conversation()?.request(&Command::Inventory {})?;
        let read = serde_json::from_value(inventory).map_err(|error| {
            Failure::refused("invalid_input", format!("the host's inventory: {error}"))
        });
        read.map(Some)
    }
}

/// The claims of the token, and whether it is valid.
enum Claims {
    None,
    Some(Box<exosuit_claims::Inspection>),
    Unreadable(String),
}

impl Claims {
    /// The claims of a file. A token that cannot be read is not an error here, but shown.
    fn of(wasm: &[u8]) -> Self {
        match exosuit_claims::inspect(wasm, &Policy::strict(Issuers::Any), unix_now()) {
            Ok(inspection) => Self::Some(Box::new(inspection)),
            Err(exosuit_claims::Error::Unsigned) => Self::None,
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    /// The actor that would run the file.
    fn asker(&self, id: Option<String>) -> Asker {
        let mut names = Vec::from_iter(id);
        let mut capabilities = None;
        if let Self::Some(inspection) = self {
            names.push(inspection.claims.subject.clone());
            capabilities = Some(inspection.claims.capabilities.clone());
        }
        Asker {
            names,
            capabilities,
        }
    }

    /// The claims for `--json`.
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

    /// The claims in one line.
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

/// The whole description for people.
fn text(file: &str, description: &Description, claims: &Claims, answers: &[Answer]) -> String {
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
    let needs = &description.needs;
    let needs = format!(
        "{} core instance(s) of {} module(s), {} memories ({} KiB), {} table(s)",
        needs.instances,
        description.core_modules,
        needs.memories,
        needs.memory >> 10,
        needs.tables
    );
    row("needs", &needs);
    if let Some(world) = &description.world {
        // Each import has its answer at its place.
        interfaces(&mut out, "imports", &world.imports, answers);
        interfaces(&mut out, "exports", &world.exports, &[]);
    }
    if let Some(module) = &description.module {
        may_use(&mut out, answers);
        core(&mut out, module);
    }
    out
}

/// The capabilities of a module's token, with who answers each.
fn may_use(out: &mut String, answers: &[Answer]) {
    if !answers.is_empty() {
        let _ = writeln!(out, "\nmay use");
    }
    for answer in answers {
        let text = format!("{}  ({})", answer.import, answer.text);
        let _ = writeln!(out, "  {}", printable(&text));
    }
}

/// The label of a field of the `producers` section.
fn field_label(field: &str) -> &str {
    match field {
        "processed-by" => "made with",
        field => field,
    }
}

/// Interfaces with their functions, and who answers each.
fn interfaces(out: &mut String, title: &str, interfaces: &[Interface], answers: &[Answer]) {
    let _ = writeln!(out, "\n{title}");
    for (n, interface) in interfaces.iter().enumerate() {
        let name = interface.name.as_deref().unwrap_or("(the world itself)");
        let answer = answers.get(n);
        let by = answer.map_or_else(String::new, |answer| format!("  ({})", answer.text));
        let _ = writeln!(out, "  {}", printable(&format!("{name}{by}")));
        for function in &interface.functions {
            let text = format!("{}: {}", function.name, function.signature);
            let _ = writeln!(out, "    {}", printable(&text));
        }
    }
}

/// The imports and exports of a module.
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

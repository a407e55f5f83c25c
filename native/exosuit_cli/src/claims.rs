//! `exosuit claims`: signs Wasm, and inspects signatures.
//!
//! | command | reads | writes | needs |
//! |---|---|---|---|
//! | `sign` | Wasm | Wasm with a token | the seeds of an account and of a module |
//! | `inspect` | Wasm | stdout | nothing |
//!
//! `inspect` accepts every issuer: which issuers count is a decision of a host. It shows the claims
//! of a token even if that is forged or expired, and then exits with 1.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use exosuit_claims::{
    Draft, Inspection, Issuers, KeyKind, MAX_WASM, Policy, inspect, moment, sign, unix_now,
};
use serde_json::json;

use crate::failure::Failure;
use crate::files;
use crate::output;
use crate::seed::SeedArgument;

#[derive(Subcommand)]
pub(crate) enum Claims {
    /// Sign a module or a component; an existing token is replaced.
    Sign(Box<Sign>),
    /// Show a token, and whether it is valid.
    Inspect(Inspect),
}

#[derive(Args)]
#[command(after_long_help = "\
A key file holds a seed, or the output of `exosuit keys gen --json`.

Example:
  exosuit claims sign counter.wasm -o counter.signed.wasm --issuer account.nk --subject counter.nk \\
      --name Counter --cap wasmcloud:httpserver --cap wasmcloud:keyvalue --expires-in 30d")]
pub(crate) struct Sign {
    /// The module or component to sign.
    #[arg(value_name = "IN.wasm")]
    input: PathBuf,
    /// The signed file; may be the same as IN.wasm.
    #[arg(short, long, value_name = "OUT.wasm")]
    output: PathBuf,
    /// The account that signs: a key file, or a seed (SA...).
    #[arg(long, value_name = "FILE|SEED")]
    issuer: SeedArgument,
    /// The module key that is the actor's identity: a key file, or a seed (SM...).
    #[arg(long, value_name = "FILE|SEED")]
    subject: SeedArgument,
    /// The actor's name, as people read it.
    #[arg(long)]
    name: String,
    /// A capability that the actor may use, like wasmcloud:keyvalue; may be repeated.
    #[arg(long = "cap", value_name = "CAPABILITY")]
    capabilities: Vec<String>,
    /// The revision; an update needs a higher one [default: the time of signing].
    #[arg(long = "rev", value_name = "NUMBER")]
    revision: Option<i32>,
    /// The actor's version, as people read it.
    #[arg(long = "ver", value_name = "VERSION")]
    version: Option<String>,
    /// The call alias: a name by which other actors may call this one.
    #[arg(long)]
    alias: Option<String>,
    /// How long the token is valid, like 90s, 15m, 12h, 30d or 4w [default: for ever].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    /// A tag in the token; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

#[derive(Args)]
#[command(after_long_help = "\
Accepts every issuer. The exit code is 1 if the token is missing, malformed, forged or expired, or
belongs to other Wasm. With --json, prints {\"verified\": true, \"claims\": {...}}, or false with
\"error\" and \"code\", and with \"claims\" if they can be read.

Example:
  exosuit claims inspect counter.wasm")]
pub(crate) struct Inspect {
    /// The module or component.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Claims {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Sign(sign) => sign.run(),
            Self::Inspect(inspect) => inspect.run(),
        }
    }
}

impl Sign {
    fn run(self) -> Result<(), Failure> {
        let issuer = self.issuer.load("--issuer", KeyKind::Account)?;
        let subject = self.subject.load("--subject", KeyKind::Module)?;
        let wasm = files::read(&self.input, MAX_WASM)?;
        let now = unix_now();
        let expires_at = self
            .expires_in
            .map(|life| now.saturating_add(life.as_secs()));
        let draft = Draft {
            capabilities: self.capabilities,
            revision: self.revision,
            version: self.version,
            call_alias: self.alias,
            tags: self.tags,
            expires_at,
            ..Draft::new(subject.public_key().clone(), self.name)
        };
        let signed = sign(&wasm, &draft, &issuer, now)
            .map_err(|error| Failure::from(error).about(self.input.display()))?;
        files::write(&self.output, &signed)
    }
}

impl Inspect {
    fn run(self) -> Result<(), Failure> {
        match self.inspect() {
            Ok(inspection) => self.show(inspection),
            Err(failure) => {
                if self.json {
                    output::line(failure.to_json())?;
                }
                Err(failure)
            }
        }
    }

    fn inspect(&self) -> Result<Inspection, Failure> {
        let wasm = files::read(&self.file, MAX_WASM)?;
        let inspection = inspect(&wasm, &Policy::strict(Issuers::Any), unix_now());
        inspection.map_err(|error| self.about(error))
    }

    fn show(&self, Inspection { claims, verdict }: Inspection) -> Result<(), Failure> {
        let outcome = verdict.map_err(|error| self.about(error));
        if self.json {
            output::line(report(&claims, &outcome))?;
        } else {
            output::line(listing(&claims, outcome.is_ok()))?;
        }
        outcome
    }

    fn about(&self, error: exosuit_claims::Error) -> Failure {
        Failure::from(error).about(self.file.display())
    }
}

/// The JSON of `inspect --json`.
fn report(claims: &exosuit_claims::Claims, outcome: &Result<(), Failure>) -> serde_json::Value {
    let mut report = match outcome {
        Ok(()) => json!({}),
        Err(failure) => failure.to_json(),
    };
    report["verified"] = outcome.is_ok().into();
    report["claims"] = json!(claims);
    report
}

/// One line for each claim. Texts are escaped: whoever made the token chose them.
fn listing(claims: &exosuit_claims::Claims, verified: bool) -> String {
    let time = |time: Option<u64>, none: &str| time.map_or_else(|| none.to_owned(), moment);
    let verdict = if verified {
        "yes; any issuer counts here"
    } else {
        "no"
    };
    let lines = [
        ("name", claims.name.clone()),
        ("subject", Some(claims.subject.clone())),
        ("issuer", Some(claims.issuer.clone())),
        ("revision", Some(claims.revision.to_string())),
        ("version", claims.version.clone()),
        ("call alias", claims.call_alias.clone()),
        ("capabilities", Some(or_none(&claims.capabilities))),
        ("tags", Some(or_none(&claims.tags))),
        ("signed", Some(moment(claims.issued_at))),
        ("valid from", Some(time(claims.not_before, "at once"))),
        ("expires", Some(time(claims.expires_at, "never"))),
        ("verified", Some(verdict.to_owned())),
    ];
    let line = |(label, text): (&str, Option<String>)| {
        text.map(|text| format!("{label:<13} {}", text.escape_debug()))
    };
    lines
        .into_iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Texts with commas, or `none`.
fn or_none(texts: &[String]) -> String {
    if texts.is_empty() {
        return "none".to_owned();
    }
    texts.join(", ")
}

/// A number and a unit: `90s`, `15m`, `12h`, `30d`, `4w`.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    };
    let seconds = seconds().filter(|seconds| *seconds > 0);
    let rule = "expected a number above 0 and one of s, m, h, d, w, like 30d";
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| rule.to_owned())
}

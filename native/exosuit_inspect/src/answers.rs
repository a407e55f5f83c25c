//! Finds out who answers the imports of a component, or the capabilities in a module's token: on any host, or on a
//! host whose inventory is given. `exosuit_router` decides calls by the same rules.
//!
//! | import | answered by |
//! |---|---|
//! | only types | nothing to answer |
//! | `wasi:cli`, `wasi:clocks`, … | the host, with what is granted |
//! | logging and random numbers | the host, if the token names the contract |
//! | an interface that a built-in provider offers | a link |
//! | types of such a package | the host |
//! | any other interface of a package | a link, or nobody without one |
//! | a function of the world itself | nobody: it cannot be linked |
//!
//! It is a prediction. It reads an inventory, which may be out of date, and it never calls.

use exosuit_core::{BUILTINS, LOGGING, NUMBERGEN, Offer};
use serde::{Deserialize, Serialize};

use crate::model::{Description, Kind};

/// The packages whose interfaces a host answers itself. The built-in providers name those that
/// links answer.
const OWN: &[&str] = &[
    "wasi:cli",
    "wasi:clocks",
    "wasi:config",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// The actor that would run the code.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Asker {
    /// The names under which links may join it: its id, its public key.
    pub names: Vec<String>,
    /// The contracts that its token names. `None` for unsigned code, for which links suffice.
    pub capabilities: Option<Vec<String>>,
}

/// The part of a host's inventory that decides. Other fields are ignored, so that newer hosts may
/// add some. It is deserialized from the JSON of `exosuit get inventory` or of Elixir.
#[derive(Debug, Clone, Deserialize)]
pub struct Inventory {
    actors: Vec<Item>,
    providers: Vec<Item>,
    links: Vec<Link>,
}

/// An actor or a provider of the inventory.
#[derive(Debug, Clone, Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    public_key: Option<String>,
    status: String,
}

/// A link of the inventory, with its status.
#[derive(Debug, Clone, Deserialize)]
struct Link {
    source: String,
    target: String,
    name: String,
    namespace: String,
    package: String,
    interfaces: Vec<String>,
    status: String,
    #[serde(default)]
    error: Option<String>,
}

/// Who answers one import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The import, or the contract.
    pub import: String,
    /// Who it is, in one word.
    pub by: By,
    /// The contract for which a link would be made.
    pub contract: Option<String>,
    /// The links of the actor that cover it, on a host.
    pub links: Vec<Through>,
    /// All of this as a sentence for people.
    pub text: String,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The host itself.
    Host,
    /// The target of a link.
    Link,
    /// No provider and no actor: a call fails.
    Nobody,
    /// Nothing needs to answer: the import has only types.
    Nothing,
}

/// A link, and what is at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Through {
    /// The name of the link.
    pub name: String,
    /// The id or public key of its target.
    pub target: String,
    /// `provider` or `actor` of this host; none for one that does not run here.
    pub kind: Option<&'static str>,
    /// The status of the target (`running`, …), if it is of this host.
    pub target_status: Option<String>,
    /// The status of the link: `in_force`, `waiting` or `refused`.
    pub status: String,
    /// Why the link is refused.
    pub error: Option<String>,
}

/// Finds out who answers each import of a component, and each contract in the token of a module. Without an
/// inventory, the answers hold for any host, and name the links that are necessary.
///
/// ```
/// use exosuit_inspect::{Asker, By, answers, describe};
///
/// // A module imports nothing that a link could answer, and this one has no token.
/// let module = describe(b"\0asm\x01\0\0\0")?;
/// assert!(answers(&module, &Asker::default(), None).is_empty());
/// # Ok::<(), exosuit_inspect::Error>(())
/// ```
pub fn answers(code: &Description, asker: &Asker, on: Option<&Inventory>) -> Vec<Answer> {
    let question = Question { asker, on };
    let imports = code.world.iter().flat_map(|world| &world.imports);
    let imports = imports.map(|import| {
        let name = import.name.as_deref();
        question.import(name, import.functions.is_empty())
    });
    let contracts = asker.capabilities.iter().flatten();
    let contracts = contracts.filter(|_| code.kind == Kind::WasmbusModule);
    let contracts = contracts.map(|contract| question.contract(contract, contract, ""));
    imports.chain(contracts).collect()
}

/// The actor that asks, and the host, if it is known.
struct Question<'a> {
    asker: &'a Asker,
    on: Option<&'a Inventory>,
}

impl Question<'_> {
    /// Who answers an imported interface.
    fn import(&self, name: Option<&str>, is_empty: bool) -> Answer {
        let import = name.unwrap_or("(the world itself)");
        let answer = |by, text: &str| Answer::new(import, by, None, text);
        if is_empty {
            return answer(By::Nothing, "nothing to answer: it has types alone");
        }
        let Some((package, interface)) = name.and_then(|name| name.split_once('/')) else {
            let text = "nobody: only interfaces of a package can be linked";
            return answer(By::Nobody, text);
        };
        let interface = interface.split('@').next().unwrap_or_default();
        if OWN.contains(&package) {
            return answer(By::Host, "the host, with what is granted to the actor");
        }
        // What a built-in provider takes from a link; the rest of its package are types of the host.
        let mut offers = BUILTINS.iter().flat_map(|builtin| builtin.offers);
        let offer = offers.find(|offer| offer.contract == package);
        if offer.is_some_and(|offer| !offer.answers.contains(&interface))
            && package.starts_with("wasi:")
        {
            return answer(By::Host, "the host");
        }
        self.contract(import, package, interface)
    }

    /// Who answers a contract, which may be narrowed to one interface. `import` is its name in the
    /// answer.
    fn contract(&self, import: &str, contract: &str, interface: &str) -> Answer {
        let answer = |by, text: &str| Answer::new(import, by, Some(contract), text);
        let is_named = match &self.asker.capabilities {
            None => true,
            Some(named) => named.iter().any(|name| name == contract),
        };
        let unnamed = format!("the token does not name {contract}");
        let mut own = LOGGING.offers.iter().chain(NUMBERGEN.offers);
        if own.any(|offer| offer.contract == contract) {
            return if is_named {
                answer(By::Host, "the host")
            } else {
                answer(By::Nobody, &format!("nobody: {unnamed}"))
            };
        }
        let Some(inventory) = self.on else {
            let text = if is_named {
                format!("a link{}", possible(contract))
            } else {
                format!("a link to an actor alone: {unnamed}")
            };
            return answer(By::Link, &text);
        };
        let links = inventory.links(&self.asker.names, contract, interface);
        if links.is_empty() {
            let names = self.asker.names.join(" or ");
            let text = format!(
                "nobody: no link for {contract} from {}{}",
                if names.is_empty() {
                    "an actor without id and token"
                } else {
                    &names
                },
                possible(contract)
            );
            return answer(By::Nobody, &text);
        }
        // An actor may be called without a claim.
        let allowed = |link: &&Through| is_named || link.kind == Some("actor");
        let works = links.iter().filter(allowed).any(Through::works);
        let mut text: Vec<_> = links.iter().map(Through::text).collect();
        if !is_named {
            text.push(unnamed);
        }
        let text = text.join("; ");
        let (by, text) = if works {
            (By::Link, text)
        } else {
            (By::Nobody, format!("nobody: {text}"))
        };
        Answer {
            links,
            ..answer(by, &text)
        }
    }
}

/// The end of a sentence: which built-in provider could be linked.
fn possible(contract: &str) -> String {
    // An offer that only calls actors answers nothing.
    let answers = |offer: &Offer| {
        offer.contract == contract && (!offer.answers.is_empty() || offer.calls.is_empty())
    };
    let mut builtins = BUILTINS.iter();
    match builtins.find(|builtin| builtin.offers.iter().any(answers)) {
        Some(builtin) => format!(
            "; the built-in provider {} or another one can be linked",
            builtin.name
        ),
        None => String::new(),
    }
}

impl Answer {
    /// An answer without links.
    fn new(import: &str, by: By, contract: Option<&str>, text: &str) -> Self {
        Self {
            import: import.to_owned(),
            by,
            contract: contract.map(str::to_owned),
            links: Vec::new(),
            text: text.to_owned(),
        }
    }
}

impl Inventory {
    /// The links from one of these names that cover the interface.
    fn links(&self, names: &[String], contract: &str, interface: &str) -> Vec<Through> {
        let covers = |link: &&Link| {
            names.contains(&link.source)
                && format!("{}:{}", link.namespace, link.package) == contract
                && (link.interfaces.is_empty()
                    || interface.is_empty()
                    || link.interfaces.iter().any(|covered| covered == interface))
        };
        let links = self.links.iter().filter(covers);
        links.map(|link| self.through(link)).collect()
    }

    /// A link, with the kind and status of its target.
    fn through(&self, link: &Link) -> Through {
        let find = |items: &[Item], kind| {
            let is_target = |item: &&Item| {
                item.id == link.target || item.public_key.as_ref() == Some(&link.target)
            };
            let item = items.iter().find(is_target)?;
            Some((kind, item.status.clone()))
        };
        let target = find(&self.actors, "actor").or_else(|| find(&self.providers, "provider"));
        let (kind, target_status) = target.unzip();
        Through {
            name: link.name.clone(),
            target: link.target.clone(),
            kind,
            target_status,
            status: link.status.clone(),
            error: link.error.clone(),
        }
    }
}

impl Through {
    /// Whether a call could pass. A target that is not on this host may be on another one of the
    /// lattice.
    fn works(&self) -> bool {
        self.status != "refused"
            && self
                .target_status
                .as_deref()
                .is_none_or(|it| it == "running")
    }

    /// The link as a part of a sentence.
    fn text(&self) -> String {
        let kind = self.kind.map(|kind| format!("{kind} ")).unwrap_or_default();
        let name = match self.name.as_str() {
            "default" => String::new(),
            name => format!(", by the link {name}"),
        };
        let but = match (&self.error, self.target_status.as_deref()) {
            (Some(error), _) => format!(", which refuses the link: {error}"),
            (None, None) => ", which does not run on this host".to_owned(),
            (None, Some("running")) => String::new(),
            (None, Some(status)) => format!(", which is {status}"),
        };
        format!("{kind}{}{name}{but}", self.target)
    }
}

//! A component of `spec.components`: its kind, properties and traits.
//!
//! | property | actor | provider |
//! |---|---|---|
//! | `image` | required | required |
//! | `id` | `<application>-<name>` by default | the same |
//! | `config` | yes | yes |
//! | `contract`, `link_name` | no | of old manifests |
//! | `application`, `secrets` | refused: not supported | refused |
//!
//! | trait | makes |
//! |---|---|
//! | `link`, `linkdef` | links from or to the component |
//! | `spreadscaler`, `daemonscaler` | the number of instances and their hosts, at most one |
//! | `exosuit` | settings for Exosuit only, at most one |
//!
//! An unknown trait is a warning: manifests of other tools may have traits of their own.

use exosuit_core::{Given, Id, LinkName, hint};

use crate::config::{self, refuse_secrets};
use crate::diagnostic::{Code, Source};
use crate::draft::{Draft, Drafts, Kind};
use crate::image::Image;
use crate::link;
use crate::model::{ActorSpec, Configured, ProviderSpec, ScalerKind};
use crate::node::quote;
use crate::scaler::Scaler;
use crate::settings::Settings;
use crate::value::{Map, Value};

/// The expected form of a name.
pub(crate) const NAME: &str = "a name of 1 to 255 characters of A-Z, a-z, 0-9, _ and -";
const ID: &str = "an id of 1 to 255 characters of A-Z, a-z, 0-9, _ and -";
const TYPE: &str = "component or capability";
/// The types of components. `actor` is that of the OTP era.
const KINDS: [(&str, Kind); 3] = [
    ("component", Kind::Actor),
    ("capability", Kind::Provider),
    ("actor", Kind::Actor),
];
/// The properties of an actor.
const OF_ACTOR: [&str; 5] = ["application", "config", "id", "image", "secrets"];
const OF_PROVIDER: [&str; 7] = [
    "application",
    "config",
    "contract",
    "id",
    "image",
    "link_name",
    "secrets",
];
/// The traits that are read.
const TRAITS: [&str; 5] = ["daemonscaler", "exosuit", "link", "linkdef", "spreadscaler"];

/// The parsed traits of a component.
#[derive(Default)]
pub(crate) struct Traits<'a> {
    scaler: Option<Scaler>,
    settings: Option<Settings>,
    pub(crate) links: Vec<link::ParsedLink<'a>>,
}

impl<'a> Draft<'a> {
    /// Parses everything but the traits. `None` only if it is not a map.
    pub(crate) fn parse(at: &Value<'a>, application: &str, source: &Source) -> Option<Self> {
        let expected = "a map with name, type and properties";
        let map = at.map(expected, &["name", "properties", "traits", "type"])?;
        let name_at = map.require("name", NAME);
        let name = name_at.as_ref().and_then(|value| name(value));
        let kind = map.require("type", TYPE);
        let kind = kind.and_then(|kind| kind.choice(&KINDS));
        let traits = map.get("traits");
        let mut draft = Self {
            name,
            kind,
            id: None,
            image: None,
            contract: None,
            link_name: LinkName::default(),
            at: at.clone(),
            name_at: name_at.unwrap_or_else(|| at.clone()),
            config: Configured::default(),
            image_place: at.place(),
            traits: traits.map_or_else(Vec::new, |traits| traits.list("a list of traits")),
        };
        draft.read_properties(&map, application, source);
        Some(draft)
    }

    /// Parses the properties, and checks the settings of a built-in provider.
    fn read_properties(&mut self, map: &Map, application: &str, source: &Source) -> Option<()> {
        let known: &[&str] = match self.kind {
            Some(Kind::Actor) => &OF_ACTOR,
            Some(Kind::Provider) | None => &OF_PROVIDER,
        };
        let properties = map.require("properties", "a map with image")?;
        let properties = properties.map("a map with image", known)?;
        self.id = self.read_id(&properties, application);
        self.read_image(&properties, source);
        let config = properties.get("config");
        self.config = config::parse(config.as_ref());
        if let (Some(builtin), Some(at)) = (link::builtin(self), &config) {
            link::report_unused(at, builtin.check(Given::ToProvider, &self.config.values));
        }
        refuse_secrets(&properties);
        if self.kind != Some(Kind::Actor) {
            let contract = properties.get("contract");
            self.contract = contract.and_then(|value| link::provider_contract(&value));
            let link_name = properties.get("link_name");
            let link_name = link_name.and_then(|value| link::link_name(&value));
            self.link_name = link_name.unwrap_or_default();
        }
        Some(())
    }

    /// The given id, or that of application and name.
    fn read_id(&self, properties: &Map, application: &str) -> Option<Id> {
        if let Some(id) = properties.get("id") {
            return id.parsed(ID, |text| Id::parse(text).ok());
        }
        let id = Id::parse(&format!("{application}-{}", self.name?)).ok();
        if id.is_none() {
            let message = format!("expected an id, as {application}-NAME is longer than 255");
            properties.value().refuse(Code::InvalidValue, message);
        }
        id
    }

    /// The image. A provider's reference in an actor is a mistake of the type.
    fn read_image(&mut self, properties: &Map, source: &Source) -> Option<()> {
        if let Some(application) = properties.get("application") {
            let message = "expected image: components of other applications are not supported";
            application.refuse(Code::Unsupported, message);
            return None;
        }
        let value = properties.require("image", "where its bytes come from")?;
        self.image_place = value.place();
        self.image = Image::parse(&value, source);
        let provider = matches!(self.image, Some(Image::Builtin(_) | Image::Module(_)));
        if provider && self.kind == Some(Kind::Actor) {
            let message = "expected a Wasm file: this is a provider, of type capability";
            value.error(Code::InvalidValue, message);
        }
        Some(())
    }

    /// Parses the traits, when all components are known.
    pub(crate) fn parse_traits(&self, drafts: &Drafts, source: &Source) -> Traits<'a> {
        let mut traits = Traits::default();
        for value in &self.traits {
            self.read_trait(value, drafts, source, &mut traits);
        }
        self.check_singleton(&traits);
        traits
    }

    /// A singleton has one host. A scaler that asks for several contradicts it.
    fn check_singleton(&self, traits: &Traits) {
        let (
            Some(Settings {
                singleton: true, ..
            }),
            Some(scaler),
        ) = (&traits.settings, &traits.scaler)
        else {
            return;
        };
        let several = scaler.instances.is_some_and(|count| count.get() > 1);
        let expected = match (scaler.kind, self.kind) {
            (ScalerKind::Daemon, _) => "no daemonscaler, which runs it on each host",
            (ScalerKind::Spread, Some(Kind::Provider)) if several => {
                "instances: 1, which is the number of its hosts"
            }
            (ScalerKind::Spread, _) => return,
        };
        let message = format!("expected {expected}, as it is a singleton");
        self.at.refuse(Code::InvalidValue, message);
    }

    /// Parses one trait.
    fn read_trait(
        &self,
        value: &Value<'a>,
        drafts: &Drafts,
        source: &Source,
        traits: &mut Traits<'a>,
    ) -> Option<()> {
        let map = value.map("a map with type and properties", &["properties", "type"])?;
        let kind_at = map.require("type", "the type of this trait")?;
        let kind = kind_at.text("the type of this trait")?;
        if !TRAITS.contains(&kind) {
            let hint = hint(kind, TRAITS);
            let message = format!("unknown trait {}, not read{hint}", quote(kind));
            kind_at.warn(Code::UnknownTrait, message);
            return None;
        }
        let properties = map.require("properties", "the properties of this trait")?;
        match kind {
            "link" => traits.links.extend(link::parse(&properties, self, drafts)),
            "linkdef" => (traits.links).extend(link::parse_old(&properties, self, drafts)),
            "exosuit" => once(
                &mut traits.settings,
                value,
                self.settings(&properties, source),
            ),
            "daemonscaler" => {
                let scaler = Scaler::parse(ScalerKind::Daemon, &properties);
                once(&mut traits.scaler, value, scaler);
            }
            _ => {
                let scaler = Scaler::parse(ScalerKind::Spread, &properties);
                once(&mut traits.scaler, value, scaler);
            }
        }
        Some(())
    }

    /// The trait `exosuit`. Most of its settings are for actors only.
    fn settings(&self, properties: &Value, source: &Source) -> Option<Settings> {
        match self.kind? {
            Kind::Actor => Settings::of_actor(properties, source),
            Kind::Provider => Settings::of_provider(properties),
        }
    }

    /// The specification; `None` if a field that it needs was reported.
    pub(crate) fn into_actor(self, traits: Traits) -> Option<ActorSpec> {
        let scaler = traits.scaler.unwrap_or_default();
        let settings = traits.settings.unwrap_or_default();
        Some(ActorSpec {
            name: self.name?.to_owned(),
            id: self.id?,
            image: self.image?,
            max_instances: scaler.instances,
            scaler: scaler.kind,
            spread: scaler.spread,
            singleton: settings.singleton,
            config: self.config.values,
            config_parts: self.config.parts,
            annotations: settings.annotations,
            settings: settings.actor,
            place: self.at.place(),
            image_place: self.image_place,
        })
    }

    /// The specification; `None` if a field that it needs was reported.
    pub(crate) fn into_provider(self, traits: Traits) -> Option<ProviderSpec> {
        let scaler = traits.scaler.unwrap_or_default();
        let settings = traits.settings.unwrap_or_default();
        Some(ProviderSpec {
            name: self.name?.to_owned(),
            id: self.id?,
            image: self.image?,
            contract: self.contract,
            link_name: self.link_name,
            instances: scaler.instances,
            scaler: scaler.kind,
            spread: scaler.spread,
            singleton: settings.singleton,
            config: self.config.values,
            config_parts: self.config.parts,
            annotations: settings.annotations,
            place: self.at.place(),
            image_place: self.image_place,
        })
    }
}

/// Parses a name that ids are made of.
pub(crate) fn name<'a>(value: &Value<'a>) -> Option<&'a str> {
    value.parsed(NAME, |text| Id::parse(text).ok())?;
    value.text(NAME)
}

/// Keeps the first of two traits, and reports the second.
fn once<T>(slot: &mut Option<T>, at: &Value, parsed: Option<T>) {
    if slot.is_some() {
        let message = "expected one scaler and one trait exosuit at most in a component";
        at.refuse(Code::Duplicate, message);
    } else {
        *slot = parsed;
    }
}

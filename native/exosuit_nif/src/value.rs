//! Terms to values of WIT functions, and back. `Exosuit.Wit` describes how values look in Elixir.
//!
//! - [`arguments`], [`answer`]: values of terms from Elixir, which may be anything.
//! - [`Returned`]: the answer of a call, as a term.
//! - [`Budget`]: what one call may still carry.
//!
//! Converting takes time in proportion to the values. A scheduler reads a few thousand of them and
//! then stops with [`ReadError::Large`]; the caller repeats the call on a dirty scheduler.
//!
//! Elixir writes names of WIT with underscores (`reply_to` for `reply-to`). No value creates an
//! atom: see [`names`].
//!
//! # Without types
//!
//! Neither side here knows the types of the function. A term becomes the one [`Value`] that it looks like, and the
//! engine, which knows the types, takes what could be meant: `{:ok, 1}` is a result or a case, `["a"]` a list or
//! flags, and `:red` a case of an enum or of a variant. So nothing here is an error because of a type.
//!
//! # Bounds
//!
//! Terms come from the application that embeds a host, values from guests and other hosts. Depth, number of values
//! and bytes are bounded for both; reading takes the time that its budget allows. The iterators of rustler panic on
//! improper lists, so each list is measured first.

use exosuit_core::{Code, Error, Handle, Reply, Value, WitName};
use rustler::types::atom;
use rustler::types::list::ListIterator;
use rustler::types::map::MapIterator;
use rustler::types::tuple::{get_tuple, make_tuple};
use rustler::{Binary, Encoder, Env, LocalPid, Term, TermType};

use crate::names;
use crate::provider::{ProviderResource, state_term};
use crate::resource::{Referred, referred, resource_term};
use crate::term::{Payload, binary};

mod atoms {
    rustler::atoms! { some, nan, infinity, neg_infinity }
}

/// How deeply a value may be nested. Real interfaces stay far below, and every stack suffices.
const MAX_DEPTH: usize = 64;

/// How many values one call may carry, including those in lists. The guest's memory is the next
/// bound.
const MAX_VALUES: usize = 1 << 23;

/// How many bytes of binaries one call with values may carry.
const MAX_BYTES: usize = 256 << 20;

/// How many values and bytes of binaries a scheduler reads: a millisecond at most.
const SCHEDULER_VALUES: usize = 1 << 13;
const SCHEDULER_BYTES: usize = 256 << 10;

/// Up to so many values and bytes of binaries, a call may be polled on a scheduler.
const FEW_VALUES: usize = 1 << 10;
const FEW_BYTES: usize = 16 << 10;

/// Why terms were not read.
pub(crate) enum ReadError {
    /// A term is not a value.
    Invalid(Error),
    /// The terms are more than a scheduler may read. A dirty scheduler takes them.
    Large,
}

/// The arguments of a function, from a list. The flag says whether they are few enough to be handed
/// over on a scheduler.
pub(crate) fn arguments(term: Term<'_>, by: Reader) -> Result<(Vec<Value>, bool), ReadError> {
    let mut budget = Budget::new(by);
    let arguments = budget.list(term, MAX_DEPTH);
    let arguments = arguments.map_err(|error| error.named("argument", by))?;
    Ok((arguments, budget.is_light()))
}

/// The answer of a function.
pub(crate) fn answer(term: Term<'_>, by: Reader) -> Result<Value, ReadError> {
    let mut budget = Budget::new(by);
    budget.is_answer = true;
    let answer = budget.value(term, MAX_DEPTH);
    answer.map_err(|error| error.named("element", by))
}

/// The kind of scheduler that reads terms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Scheduler,
    DirtyScheduler,
}

/// Why a term is not a value, and where it is.
struct ValueError {
    why: String,
    /// Whether the terms are only too many or too large.
    is_size: bool,
    /// The indices that lead to the term, from the inside out, counted from 1.
    path: Vec<usize>,
}

impl ValueError {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_size: false,
            path: Vec::new(),
        }
    }

    /// Adds the index of the enclosing list, tuple or map: the first item is 1, as in the error.
    fn at(mut self, index: usize) -> Self {
        self.path.push(index + 1);
        self
    }

    /// Too many or too large: on a scheduler, no error but the reason to use a dirty one.
    fn size(why: String) -> Self {
        Self {
            is_size: true,
            ..Self::new(why)
        }
    }

    /// The error with its path, which begins with this name for the outermost index: `argument 2:
    /// element 1: …`.
    fn named(self, outermost: &str, by: Reader) -> ReadError {
        if self.is_size && by == Reader::Scheduler {
            return ReadError::Large;
        }
        let names = std::iter::once(outermost).chain(std::iter::repeat("element"));
        let places = self.path.iter().rev().zip(names);
        let mut said: Vec<_> = places.map(|(at, name)| format!("{name} {at}: ")).collect();
        said.push(self.why);
        ReadError::Invalid(Error::new(Code::InvalidInput, said.concat()))
    }
}

/// The values and bytes that one call may still carry.
struct Budget {
    max_values: usize,
    max_bytes: usize,
    values: usize,
    bytes: usize,
    /// Whether they are the answer of a provider: only providers make resources.
    is_answer: bool,
}

impl Budget {
    /// The full budget of a scheduler.
    fn new(by: Reader) -> Self {
        let (values, bytes) = match by {
            Reader::Scheduler => (SCHEDULER_VALUES, SCHEDULER_BYTES),
            Reader::DirtyScheduler => (MAX_VALUES, MAX_BYTES),
        };
        Self {
            max_values: values,
            max_bytes: bytes,
            values,
            bytes,
            is_answer: false,
        }
    }

    /// Whether little of the budget was used.
    fn is_light(&self) -> bool {
        self.max_values - self.values <= FEW_VALUES && self.max_bytes - self.bytes <= FEW_BYTES
    }

    /// The value of a term, nested at most `depth` levels.
    fn value(&mut self, term: Term<'_>, depth: usize) -> Result<Value, ValueError> {
        let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        self.values = self.values.checked_sub(1).ok_or_else(too_many)?;
        match term.get_type() {
            TermType::Binary => self.binary(term),
            TermType::Integer => integer(term),
            TermType::Float => float(term),
            TermType::Atom => Ok(word(term)),
            TermType::List => self.list(term, depth).map(Value::List),
            TermType::Tuple => self.tuple(term, depth),
            TermType::Map => match referred(term) {
                Some(referred) => self.resource(&referred),
                None => self.map(term, depth),
            },
            other => Err(unexpected(name(other))),
        }
    }

    /// A text or bytes; only the function's type tells them apart. The bytes are copied.
    fn binary(&mut self, term: Term<'_>) -> Result<Value, ValueError> {
        let binary: Binary<'_> = term
            .decode()
            .map_err(|_| unexpected("bits that are no whole bytes"))?;
        self.bytes = self.bytes.checked_sub(binary.len()).ok_or_else(too_large)?;
        Ok(Value::binary(binary.to_vec()))
    }

    fn list(&mut self, term: Term<'_>, depth: usize) -> Result<Vec<Value>, ValueError> {
        let improper = |_| unexpected("an improper list");
        // The iterator panics at the end of an improper list, so its length is taken first.
        let length = term.list_length().map_err(improper)?;
        if length > self.values {
            return Err(too_many());
        }
        let items = term.decode::<ListIterator<'_>>().map_err(improper)?;
        self.each(items, depth)
    }

    /// `{:ok, v}`, `{:error, v}`, a case with its value, or a tuple. Only the type of the function
    /// tells a case from a tuple that begins with an atom; the engine converts between them.
    fn tuple(&mut self, term: Term<'_>, depth: usize) -> Result<Value, ValueError> {
        let items = get_tuple(term).map_err(|_| unexpected("no tuple"))?;
        match items[..] {
            [tag, value] if atom::ok() == tag => self.case(value, depth).map(Value::Ok),
            [tag, value] if atom::error() == tag => self.case(value, depth).map(Value::Error),
            [tag, value] if tag.is_atom() => match word(tag) {
                Value::Case(name, None) => Ok(Value::Case(name, self.case(value, depth)?)),
                word => Ok(Value::Tuple(vec![
                    word,
                    self.value(value, depth).map_err(|error| error.at(1))?,
                ])),
            },
            _ => self.each(items.into_iter(), depth).map(Value::Tuple),
        }
    }

    /// The value of a case.
    fn case(&mut self, term: Term<'_>, depth: usize) -> Result<Option<Box<Value>>, ValueError> {
        self.value(term, depth).map(|value| Some(Box::new(value)))
    }

    fn resource(&self, referred: &Referred<'_>) -> Result<Value, ValueError> {
        match referred {
            Referred::Handle(resource) if self.is_answer => {
                Ok(Value::Resource(resource.answered()))
            }
            Referred::Handle(resource) => Ok(Value::Resource(resource.handle())),
            Referred::State(state) if self.is_answer => {
                Ok(Value::Resource(ProviderResource::handle(*state)))
            }
            Referred::State(_) => Err(ValueError::new(
                "expected a resource that a guest or a provider gave, got a new one, which only the answer of a \
                 provider can have",
            )),
            Referred::Nothing => Err(ValueError::new(
                "expected a resource that a guest or a provider gave, got an Exosuit.Resource without one",
            )),
        }
    }

    /// A record if all keys are names. Any other map is taken for a record by the engine, if the type is one and the
    /// keys are texts. A struct is the map of its fields.
    fn map(&mut self, term: Term<'_>, depth: usize) -> Result<Value, ValueError> {
        let size = term.map_size().map_err(|_| unexpected("no map"))?;
        if size > self.values {
            return Err(too_many());
        }
        let pairs = MapIterator::new(term).ok_or_else(|| unexpected("no map"))?;
        let pairs = pairs.filter(|(key, _value)| atom::__struct__() != *key);
        let mut pairs = pairs.enumerate().peekable();
        let mut fields = Vec::with_capacity(size);
        while let Some((index, (key, value))) = pairs.next_if(|(_, (key, _))| is_name(*key)) {
            let value = self.value(value, depth);
            fields.push((names::of(key), value.map_err(|error| error.at(index))?));
        }
        if pairs.peek().is_none() {
            return Ok(Value::Record(fields));
        }
        let fields = fields.into_iter();
        let mut entries: Vec<_> = fields
            .map(|(name, value)| (Value::Case(name, None), value))
            .collect();
        for (index, (key, value)) in pairs {
            let key = self.key(key).map_err(|error| error.at(index))?;
            let value = self.value(value, depth);
            entries.push((key, value.map_err(|error| error.at(index))?));
        }
        Ok(Value::Map(entries))
    }

    /// The key of a map: WIT has maps by bools, integers, chars and strings.
    fn key(&mut self, term: Term<'_>) -> Result<Value, ValueError> {
        self.values = self.values.checked_sub(1).ok_or_else(too_many)?;
        match term.get_type() {
            TermType::Binary => self.binary(term),
            TermType::Integer => integer(term),
            TermType::Atom => Ok(word(term)),
            _ => Err(ValueError::new(
                "expected an atom, a string, an integer or a boolean as a map's key",
            )),
        }
    }

    fn each<'a>(
        &mut self,
        items: impl Iterator<Item = Term<'a>>,
        depth: usize,
    ) -> Result<Vec<Value>, ValueError> {
        items
            .enumerate()
            .map(|(index, item)| {
                let value = self.value(item, depth);
                value.map_err(|error| error.at(index))
            })
            .collect()
    }
}

/// Whether a key of a map can be the name of a field.
fn is_name(key: Term<'_>) -> bool {
    key.is_atom() && atom::true_() != key && atom::false_() != key
}

/// The value of an atom.
fn word(term: Term<'_>) -> Value {
    [
        (atom::nil(), Value::Nil),
        (atom::true_(), Value::Bool(true)),
        (atom::false_(), Value::Bool(false)),
        (atom::ok(), Value::Ok(None)),
        (atom::error(), Value::Error(None)),
    ]
    .into_iter()
    .find_map(|(atom, value)| (atom == term).then_some(value))
    .unwrap_or_else(|| Value::Case(names::of(term), None))
}

/// An integer. WIT has none of more than 64 bits.
fn integer(term: Term<'_>) -> Result<Value, ValueError> {
    let number = term.decode::<i64>().map(i128::from);
    number
        .or_else(|_| term.decode::<u64>().map(i128::from))
        .map(Value::Integer)
        .map_err(|_| unexpected("an integer of more than 64 bits"))
}

/// A float. The BEAM has finite ones only.
fn float(term: Term<'_>) -> Result<Value, ValueError> {
    let number = term.decode().map(Value::Float);
    number.map_err(|_| unexpected("no float"))
}

/// A type of terms that no value has.
fn name(kind: TermType) -> &'static str {
    match kind {
        TermType::Fun => "a function",
        TermType::Pid => "a pid",
        TermType::Port => "a port",
        TermType::Ref => "a reference",
        _ => "a term of another kind",
    }
}

/// The error for a term that is not a value. It does not repeat the term, which may be anything.
fn unexpected(found: &str) -> ValueError {
    ValueError::new(format!(
        "expected a binary, a number, an atom, a list, a tuple or a map, got {found}"
    ))
}

/// The error beyond [`MAX_DEPTH`].
fn too_deep() -> ValueError {
    ValueError::new(format!("values may be nested {MAX_DEPTH} deep"))
}

/// The error beyond the number of values that the budget has.
fn too_many() -> ValueError {
    ValueError::size(format!("a call may carry {MAX_VALUES} values"))
}

/// The error beyond the bytes that the budget has.
fn too_large() -> ValueError {
    ValueError::size(format!(
        "a call with values may carry {MAX_BYTES} bytes of binaries"
    ))
}

/// The answer of a call, on its way to Elixir.
pub(crate) enum Returned {
    Bytes(Payload),
    /// With the process that gets it: it owns the resources in it.
    Value(Value, LocalPid),
}

impl Returned {
    /// Refuses answers that have no form in Elixir.
    pub(crate) fn new(reply: Reply, caller: LocalPid) -> Result<Self, Error> {
        match reply {
            Reply::Bytes(bytes) => Ok(Self::Bytes(Payload(bytes))),
            Reply::Value(value) => Ok(Self::Value(value, caller)),
            Reply::Http(_) => Err(Error::new(
                Code::InvalidInput,
                "the operation answers with an HTTP response, which a call from Elixir cannot take",
            )),
        }
    }
}

impl Encoder for Returned {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Bytes(bytes) => bytes.encode(env),
            Self::Value(value, caller) => term(env, value, Recipient::Caller(caller)),
        }
    }
}

/// The process that gets values as terms.
#[derive(Clone, Copy)]
pub(crate) enum Recipient<'p> {
    /// The process that made a call.
    Caller(&'p LocalPid),
    /// The process that answers the call of a provider.
    Provider,
}

/// The value as a term. The types of the guest's function have bounded its depth.
pub(crate) fn term<'a>(env: Env<'a>, value: &Value, to: Recipient<'_>) -> Term<'a> {
    match value {
        Value::Bool(yes) => yes.encode(env),
        Value::Integer(number) => number.encode(env),
        Value::Float(number) => float_term(env, *number),
        Value::Binary(bytes) => binary(env, bytes),
        Value::List(items) => terms(env, items, to).encode(env),
        Value::Tuple(items) => make_tuple(env, &terms(env, items, to)),
        Value::Record(fields) => record(env, fields, to),
        Value::Map(entries) => map(env, entries, to),
        Value::Case(name, value) => case(env, names::term(env, name), value.as_deref(), to),
        Value::Some(value) => case(env, atoms::some().encode(env), Some(value), to),
        Value::Ok(value) => case(env, atom::ok().encode(env), value.as_deref(), to),
        Value::Error(value) => case(env, atom::error().encode(env), value.as_deref(), to),
        Value::Resource(handle) => resource(env, handle, to),
        // `Nil`. Nothing makes values of a kind that has no term.
        _ => atom::nil().encode(env),
    }
}

/// A resource. A provider gets the state of one that it made.
fn resource<'a>(env: Env<'a>, handle: &Handle, to: Recipient<'_>) -> Term<'a> {
    match to {
        Recipient::Caller(caller) => resource_term(env, handle, Some(caller)),
        Recipient::Provider => {
            let state = state_term(env, handle);
            state.unwrap_or_else(|| resource_term(env, handle, None))
        }
    }
}

/// The values as terms, for example the arguments of a function.
pub(crate) fn terms<'a>(env: Env<'a>, values: &[Value], to: Recipient<'_>) -> Vec<Term<'a>> {
    values.iter().map(|value| term(env, value, to)).collect()
}

/// A case: its tag, or `{tag, value}`.
fn case<'a>(env: Env<'a>, tag: Term<'a>, value: Option<&Value>, to: Recipient<'_>) -> Term<'a> {
    match value {
        None => tag,
        Some(value) => (tag, term(env, value, to)).encode(env),
    }
}

fn record<'a>(env: Env<'a>, fields: &[(WitName, Value)], to: Recipient<'_>) -> Term<'a> {
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| (names::term(env, name), term(env, value, to)))
        .collect();
    // The names of one type are distinct, so the map cannot be refused.
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

fn map<'a>(env: Env<'a>, entries: &[(Value, Value)], to: Recipient<'_>) -> Term<'a> {
    let pairs: Vec<_> = entries
        .iter()
        .map(|(key, value)| (term(env, key, to), term(env, value, to)))
        .collect();
    // Refused if a key occurs twice, which a guest may do.
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| {
        pairs.iter().fold(Term::map_new(env), |map, (key, value)| {
            map.map_put(key, value).unwrap_or(map)
        })
    })
}

/// A float. The BEAM has no NaN and no infinities, so these are atoms.
fn float_term(env: Env<'_>, number: f64) -> Term<'_> {
    if number.is_finite() {
        number.encode(env)
    } else if number.is_nan() {
        atoms::nan().encode(env)
    } else if number > 0.0 {
        atoms::infinity().encode(env)
    } else {
        atoms::neg_infinity().encode(env)
    }
}

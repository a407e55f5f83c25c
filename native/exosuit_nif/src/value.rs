//! Values of WIT functions as terms, and terms as values. What they look like in Elixir stands in
//! `Exosuit.Wit`.
//!
//! - [`arguments`], [`answer`]: terms from Elixir, which may be anything.
//! - [`Returned`]: what a call brings out, as a term.
//!
//! No term becomes an atom and no text either: of atoms those few are known that mean something here.

use exosuit_core::{Code, Error, Reply, Value};
use rustler::types::atom;
use rustler::types::list::ListIterator;
use rustler::types::tuple::{get_tuple, make_tuple};
use rustler::{Binary, Encoder, Env, Term, TermType};

use crate::term::Payload;

/// How deeply a value may be nested: past every interface that people write, and no stack is in
/// danger.
const MAX_DEPTH: usize = 64;

/// How many values one call may carry, lists and what is in them: some milliseconds of a scheduler.
const MAX_VALUES: usize = 1 << 18;

/// How many bytes of binaries. A guest is handed a list of bytes by wasmtime at forty bytes for each,
/// and no deadline ends that; what is larger goes as the bytes of a call.
const MAX_BYTES: usize = 3 << 20;

/// How many values, and bytes of binaries, a scheduler may hand over by itself.
const FEW_VALUES: usize = 1 << 10;
const FEW_BYTES: usize = 16 << 10;

/// The arguments of a function, given as a list, and whether they are few enough to be handed over
/// on a scheduler.
pub(crate) fn arguments(term: Term<'_>) -> Result<(Vec<Value>, bool), Error> {
    let mut budget = Budget::default();
    let arguments = budget.list(term, MAX_DEPTH);
    let arguments = arguments.map_err(|wrong| wrong.named("argument"))?;
    Ok((arguments, budget.is_hardly_spent()))
}

/// The answer of a function.
pub(crate) fn answer(term: Term<'_>) -> Result<Value, Error> {
    let answer = Budget::default().value(term, MAX_DEPTH);
    answer.map_err(|wrong| wrong.named("element"))
}

/// Why a term is no value, and where in it.
struct Wrong {
    why: String,
    /// From the inside out, counted from 1.
    place: Vec<usize>,
}

impl Wrong {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            place: Vec::new(),
        }
    }

    fn inside(mut self, index: usize) -> Self {
        self.place.push(index + 1);
        self
    }

    /// As an error, with a name for the outermost place.
    fn named(self, outermost: &str) -> Error {
        let names = std::iter::once(outermost).chain(std::iter::repeat("element"));
        let places = self.place.iter().rev().zip(names);
        let mut said: Vec<_> = places.map(|(at, name)| format!("{name} {at}: ")).collect();
        said.push(self.why);
        Error::new(Code::InvalidInput, said.concat())
    }
}

/// What a call may still carry.
struct Budget {
    values: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            values: MAX_VALUES,
            bytes: MAX_BYTES,
        }
    }
}

impl Budget {
    fn is_hardly_spent(&self) -> bool {
        self.values >= MAX_VALUES - FEW_VALUES && self.bytes >= MAX_BYTES - FEW_BYTES
    }

    fn value(&mut self, term: Term<'_>, depth: usize) -> Result<Value, Wrong> {
        let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        self.values = self.values.checked_sub(1).ok_or_else(too_many)?;
        match term.get_type() {
            TermType::Binary => self.binary(term),
            TermType::Integer => integer(term),
            TermType::Atom => word(term),
            TermType::List => self.list(term, depth).map(Value::List),
            TermType::Tuple => self.tuple(term, depth),
            other => Err(unexpected(name(other))),
        }
    }

    fn binary(&mut self, term: Term<'_>) -> Result<Value, Wrong> {
        let binary: Binary<'_> = term
            .decode()
            .map_err(|_| unexpected("bits that are no whole bytes"))?;
        self.bytes = self.bytes.checked_sub(binary.len()).ok_or_else(too_large)?;
        Ok(Value::binary(binary.to_vec()))
    }

    fn list(&mut self, term: Term<'_>, depth: usize) -> Result<Vec<Value>, Wrong> {
        let improper = |_| unexpected("an improper list");
        // The iterator panics at the end of an improper list.
        let length = term.list_length().map_err(improper)?;
        if length > self.values {
            return Err(too_many());
        }
        let items = term.decode::<ListIterator<'_>>().map_err(improper)?;
        self.each(items, depth)
    }

    fn tuple(&mut self, term: Term<'_>, depth: usize) -> Result<Value, Wrong> {
        let items = get_tuple(term).map_err(|_| unexpected("no tuple"))?;
        match items[..] {
            [tag, value] if atom::ok() == tag => self.case(value, depth).map(Value::Ok),
            [tag, value] if atom::error() == tag => self.case(value, depth).map(Value::Error),
            _ => self.each(items.into_iter(), depth).map(Value::Tuple),
        }
    }

    fn case(&mut self, term: Term<'_>, depth: usize) -> Result<Option<Box<Value>>, Wrong> {
        self.value(term, depth).map(|value| Some(Box::new(value)))
    }

    fn each<'a>(
        &mut self,
        items: impl Iterator<Item = Term<'a>>,
        depth: usize,
    ) -> Result<Vec<Value>, Wrong> {
        items
            .enumerate()
            .map(|(index, item)| {
                let value = self.value(item, depth);
                value.map_err(|wrong| wrong.inside(index))
            })
            .collect()
    }
}

/// No integer of WIT has more than 64 bits.
fn integer(term: Term<'_>) -> Result<Value, Wrong> {
    let number = term.decode::<i64>().map(i128::from);
    number
        .or_else(|_| term.decode::<u64>().map(i128::from))
        .map(Value::Integer)
        .map_err(|_| unexpected("an integer of more than 64 bits"))
}

fn word(term: Term<'_>) -> Result<Value, Wrong> {
    [
        (atom::nil(), Value::Nil),
        (atom::true_(), Value::Bool(true)),
        (atom::false_(), Value::Bool(false)),
        (atom::ok(), Value::Ok(None)),
        (atom::error(), Value::Error(None)),
    ]
    .into_iter()
    .find_map(|(atom, value)| (atom == term).then_some(value))
    .ok_or_else(|| unexpected("another atom"))
}

fn name(kind: TermType) -> &'static str {
    match kind {
        TermType::Float => "a float",
        TermType::Map => "a map",
        TermType::Fun => "a function",
        TermType::Pid => "a pid",
        TermType::Port => "a port",
        TermType::Ref => "a reference",
        _ => "a term of another kind",
    }
}

/// Without the term itself, which may be anything.
fn unexpected(found: &str) -> Wrong {
    Wrong::new(format!(
        "expected a binary, an integer, true, false, nil, a list, a tuple, :ok or :error, got {found}"
    ))
}

fn too_deep() -> Wrong {
    Wrong::new(format!("values may be nested {MAX_DEPTH} deep"))
}

fn too_many() -> Wrong {
    Wrong::new(format!("a call may carry {MAX_VALUES} values"))
}

fn too_large() -> Wrong {
    Wrong::new(format!(
        "a call with values may carry {MAX_BYTES} bytes of binaries"
    ))
}

/// What an answered call brings to Elixir.
pub(crate) enum Returned {
    Bytes(Payload),
    Value(Value),
}

impl Returned {
    /// Refuses what Elixir has no form for.
    pub(crate) fn new(reply: Reply) -> Result<Self, Error> {
        match reply {
            Reply::Bytes(bytes) => Ok(Self::Bytes(Payload(bytes))),
            Reply::Value(value) => Ok(Self::Value(value)),
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
            Self::Value(value) => term(env, value),
        }
    }
}

/// The value as a term. How deep it is was bounded by the types of the guest's functions.
pub(crate) fn term<'a>(env: Env<'a>, value: &Value) -> Term<'a> {
    match value {
        Value::Bool(yes) => yes.encode(env),
        Value::Integer(number) => number.encode(env),
        Value::Binary(bytes) => Payload(bytes.clone()).encode(env),
        Value::List(items) => terms(env, items).encode(env),
        Value::Tuple(items) => make_tuple(env, &terms(env, items)),
        Value::Ok(value) => case(env, atom::ok(), value.as_deref()),
        Value::Error(value) => case(env, atom::error(), value.as_deref()),
        // `Nil`. Nothing makes values of a kind that has no term.
        _ => atom::nil().encode(env),
    }
}

/// Values one by one: the arguments of a function.
pub(crate) fn terms<'a>(env: Env<'a>, values: &[Value]) -> Vec<Term<'a>> {
    values.iter().map(|value| term(env, value)).collect()
}

fn case<'a>(env: Env<'a>, tag: rustler::Atom, value: Option<&Value>) -> Term<'a> {
    match value {
        None => tag.encode(env),
        Some(value) => (tag, term(env, value)).encode(env),
    }
}

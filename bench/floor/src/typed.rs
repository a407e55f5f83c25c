//! The floor of typed calls: the same components in wasmtime alone, one instance that is called again and again.
//! Strings and lists of bytes pass by typed functions. Records pass as `Val`, since a host that takes any component
//! does not know their types when it is compiled.

use std::slice::from_ref;

use wasmtime::component::{
    Component, ComponentNamedList, Func, Instance, Lift, Linker, Lower, TypedFunc, Val,
};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::PAYLOAD;
use crate::plain::{engine, finish};

/// How many records the list has.
const LINES: u32 = 1_000;

static TEXT: &str = "a text of a hundred bytes, as it might stand in a form that somebody has filled in, somewhere, today.";
static LARGE: [u8; 1 << 20] = [7; 1 << 20];

/// The components, compiled.
pub(crate) struct Typed {
    engine: Engine,
    exports: Component,
    imports: Component,
}

/// A call that checks its answer.
pub(crate) type Call = Box<dyn FnMut() -> wasmtime::Result<()>>;

impl Typed {
    pub(crate) fn new(typed: &[u8], caller: &[u8]) -> wasmtime::Result<Self> {
        let engine = engine(true)?;
        Ok(Self {
            exports: Component::new(&engine, typed)?,
            imports: Component::new(&engine, caller)?,
            engine,
        })
    }

    /// The call of this name, of an instance of its own.
    pub(crate) fn call(&self, name: &str) -> wasmtime::Result<Call> {
        Ok(match name {
            "record" => self.typed()?.value("record", person(), person()),
            "lines" => {
                let lines = Val::List((0..LINES).map(line).collect());
                self.typed()?.value("lines", lines.clone(), lines)
            }
            "text" => self.typed()?.typed::<&str, String>("text", TEXT)?,
            "bytes" => self.typed()?.typed::<&[u8], Vec<u8>>("bytes", &PAYLOAD)?,
            "large" => self.typed()?.typed::<&[u8], Vec<u8>>("bytes", &LARGE)?,
            "find" => self.caller()?.value("find", Val::U64(7), person()),
            "large-import" => self.caller()?.typed::<&[u8], Vec<u8>>("bytes", &LARGE)?,
            _ => wasmtime::bail!("no typed call {name:?}"),
        })
    }

    fn typed(&self) -> wasmtime::Result<Ready> {
        Ready::new(&self.engine, &Linker::new(&self.engine), &self.exports)
    }

    /// Its imports are answered where they are called.
    fn caller(&self) -> wasmtime::Result<Ready> {
        let mut linker = Linker::new(&self.engine);
        let mut desk = linker.instance("bench:typed/desk")?;
        desk.func_new("find", |_store, _ty, _parameters, results| {
            results[0] = person();
            Ok(())
        })?;
        desk.func_wrap("bytes", |_store, (value,): (Vec<u8>,)| Ok((value,)))?;
        Ready::new(&self.engine, &linker, &self.imports)
    }
}

/// An instance that is ready.
struct Ready {
    store: Store<()>,
    instance: Instance,
}

impl Ready {
    fn new(engine: &Engine, linker: &Linker<()>, component: &Component) -> wasmtime::Result<Self> {
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let instance = finish(linker.instantiate_async(&mut store, component))?;
        Ok(Self { store, instance })
    }

    fn value(mut self, name: &str, parameter: Val, expected: Val) -> Call {
        let function: Option<Func> = self.instance.get_func(&mut self.store, name);
        Box::new(move || {
            let Some(function) = function else {
                wasmtime::bail!("the component has no such function");
            };
            let mut result = Val::Bool(false);
            self.store.set_epoch_deadline(1);
            let parameters = from_ref(&parameter);
            let results = std::slice::from_mut(&mut result);
            finish(function.call_async(&mut self.store, parameters, results))?;
            same(&result, &expected)
        })
    }

    fn typed<P, R>(mut self, name: &str, parameter: P) -> wasmtime::Result<Call>
    where
        P: Lower + Copy + Send + Sync + PartialEq<R> + 'static,
        R: Lift + Send + Sync + 'static,
        (P,): ComponentNamedList + Lower,
        (R,): ComponentNamedList + Lift,
    {
        let function: TypedFunc<(P,), (R,)> =
            self.instance.get_typed_func(&mut self.store, name)?;
        Ok(Box::new(move || {
            self.store.set_epoch_deadline(1);
            let called = function.call_async(&mut self.store, (parameter,));
            let (result,) = finish(called)?;
            same(&parameter, &result)
        }))
    }
}

fn same<A: PartialEq<B>, B>(one: &A, other: &B) -> wasmtime::Result<()> {
    if one != other {
        wasmtime::bail!("the guest gives back something else");
    }
    Ok(())
}

/// The record that `Exosuit.Bench.Typed` sends.
fn person() -> Val {
    let text = |text: &str| Val::String(text.to_owned());
    record([
        ("id", Val::U64(7)),
        ("name", text("Ada Lovelace")),
        ("email", text("ada@example.org")),
        ("street", text("12 St James's Square")),
        ("city", text("London")),
        ("country", text("United Kingdom")),
        ("note", Val::Option(Some(Box::new(text("met in June"))))),
        ("plan", Val::Enum("team".to_owned())),
        ("balance", Val::Float64(12.5)),
        ("is-active", Val::Bool(true)),
    ])
}

fn line(count: u32) -> Val {
    record([
        ("name", Val::String("bolt".to_owned())),
        ("count", Val::U32(count)),
        ("price", Val::Float64(1.5)),
    ])
}

fn record<const N: usize>(fields: [(&str, Val); N]) -> Val {
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    Val::Record(fields.into())
}

//! Compiled code.

use bytes::Bytes;
use exosuit_engine::Module;
use rustler::{Binary, Encoder, Env, Resource, ResourceArc, Term};

use crate::engine::engine;
use crate::reply::{To, answer};
use crate::runtime::Reaped;
use crate::term::failure;

/// Compiled code, for as long as Elixir holds it. The last holder unmaps it.
pub(crate) struct CompiledModule(Reaped<Module>);

#[rustler::resource_impl]
impl Resource for CompiledModule {}

impl CompiledModule {
    pub(crate) fn module(&self) -> &Module {
        &self.0
    }
}

/// Compiles a module, or takes it from the cache. Answers with a reference to it.
#[rustler::nif]
fn module_compile<'a>(env: Env<'a>, bytes: Binary<'a>, to: To<'a>) -> Term<'a> {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(error) => return failure(env, &error),
    };
    let compiling = engine.compile(Bytes::copy_from_slice(&bytes));
    answer(env, to, async move {
        let module = compiling.await?;
        Ok(ResourceArc::new(CompiledModule(Reaped::new(module))))
    })
    .encode(env)
}

/// Lists the imports of compiled code that nothing here answers.
#[rustler::nif]
fn module_unanswered(module: ResourceArc<CompiledModule>) -> Vec<String> {
    module.module().unanswered().to_vec()
}

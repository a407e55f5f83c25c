//! The resources that code needs to run: its core instances, with their memories and tables.
//!
//! A component names the modules that it instantiates, so nothing is compiled. The needs of a nested component are
//! summed up once, at its end, and added at each of its instantiations. The time is therefore linear in the size of
//! the file, even if components are nested many times. Numbers saturate.
//!
//! Hosts compare the needs with their limits before they compile, so that code that could never
//! start is refused with its numbers.
//!
//! | construct | counts |
//! |---|---|
//! | a core instance | the memories and tables of its module, and 1 instance |
//! | an instance of a component | all that the component needs, once more |
//! | an imported module | 1 instance, without memories |
//! | an imported component | nothing |

use serde::Serialize;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, Instance, Parser, Payload, Result,
};

/// The size of a page of memory.
const PAGE: u64 = 64 << 10;

/// The resources that an instance of a module or component needs when it starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// The number of core instances. A module is one.
    pub instances: u64,
    /// The number of memories.
    pub memories: u64,
    /// The number of tables.
    pub tables: u64,
    /// The bytes that all memories have at the start. They may grow later.
    pub memory: u64,
}

impl Needs {
    /// The needs of valid Wasm.
    pub(crate) fn of(wasm: &[u8]) -> Result<Self> {
        let mut reader = Reader::default();
        for payload in Parser::new(0).parse_all(wasm) {
            reader.take(&payload?)?;
        }
        Ok(reader.whole)
    }

    /// The needs of a module of which nothing else is known.
    fn module() -> Self {
        Self {
            instances: 1,
            ..Self::default()
        }
    }

    /// Adds other needs. Numbers saturate.
    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
        self.memory = self.memory.saturating_add(other.memory);
    }
}

/// A module or component that is being read.
struct Scope {
    is_component: bool,
    needs: Needs,
    /// The index spaces of modules and of components: what each of them needs.
    modules: Vec<Needs>,
    components: Vec<Needs>,
}

/// Walks through a file, with a stack of what is open.
#[derive(Default)]
struct Reader {
    /// From the outermost to the innermost.
    scopes: Vec<Scope>,
    whole: Needs,
}

impl Reader {
    fn take(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::Version { encoding, .. } => self.begin(*encoding == Encoding::Component),
            Payload::End(_) => self.end(),
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    self.alias(&alias?);
                }
            }
            _ => {
                if let Some(scope) = self.scopes.last_mut() {
                    scope.take(payload)?;
                }
            }
        }
        Ok(())
    }

    /// A module or component begins.
    fn begin(&mut self, is_component: bool) {
        self.scopes.push(Scope {
            is_component,
            needs: if is_component {
                Needs::default()
            } else {
                Needs::module()
            },
            modules: Vec::new(),
            components: Vec::new(),
        });
    }

    /// A module or component ends: it becomes an item of the one around it.
    fn end(&mut self) {
        let Some(scope) = self.scopes.pop() else {
            return;
        };
        match self.scopes.last_mut() {
            None => self.whole = scope.needs,
            Some(outer) if scope.is_component => outer.components.push(scope.needs),
            Some(outer) => outer.modules.push(scope.needs),
        }
    }

    /// An item of an instance, or of a component further out.
    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => self.imported(kind),
            ComponentAlias::Outer { kind, count, index } => {
                let (depth, index) = (count as usize + 1, index as usize);
                let outer = self.scopes.len().checked_sub(depth);
                let outer = outer.and_then(|at| self.scopes.get(at));
                let needs = |of: fn(&Scope) -> &Vec<Needs>| {
                    outer.and_then(|scope| of(scope).get(index).copied())
                };
                let module = needs(|scope| &scope.modules).unwrap_or_else(Needs::module);
                let component = needs(|scope| &scope.components).unwrap_or_default();
                let Some(scope) = self.scopes.last_mut() else {
                    return;
                };
                match kind {
                    ComponentOuterAliasKind::CoreModule => scope.modules.push(module),
                    ComponentOuterAliasKind::Component => scope.components.push(component),
                    _ => {}
                }
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
        }
    }

    fn imported(&mut self, kind: ComponentExternalKind) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.imported(kind);
        }
    }
}

impl Scope {
    fn take(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    let bytes = memory?.initial.saturating_mul(PAGE);
                    self.needs.add(Needs {
                        memories: 1,
                        memory: bytes,
                        ..Needs::default()
                    });
                }
            }
            Payload::TableSection(tables) => {
                self.needs.tables = self.needs.tables.saturating_add(tables.count().into());
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let module = self.modules.get(module_index as usize).copied();
                        self.needs.add(module.unwrap_or_else(Needs::module));
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance?
                    {
                        let component = self.components.get(component_index as usize).copied();
                        self.needs.add(component.unwrap_or_default());
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    match import?.ty {
                        ComponentTypeRef::Module(_) => self.modules.push(Needs::module()),
                        ComponentTypeRef::Component(_) => self.components.push(Needs::default()),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    self.exported(export.kind, export.index as usize);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An item that comes from outside, whose needs are not known.
    fn imported(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules.push(Needs::module()),
            ComponentExternalKind::Component => self.components.push(Needs::default()),
            _ => {}
        }
    }

    /// An item that is exported has a second index from there on.
    /// An exported item is another name, so it gets an index of its own.
    fn exported(&mut self, kind: ComponentExternalKind, index: usize) {
        let list = match kind {
            ComponentExternalKind::Module => &mut self.modules,
            ComponentExternalKind::Component => &mut self.components,
            _ => return,
        };
        if let Some(needs) = list.get(index).copied() {
            list.push(needs);
        }
    }
}

//! The imports of a module or component, without its code: for checks before compilation.
//!
//! [`imports`] keeps the sections with types and imports that a binary begins with, and drops the rest. The result
//! is a complete binary, which compiles quickly and links like the original.
//!
//! A host that refuses modules with unanswered imports (`links: :strict`) asks this way before it compiles them.
//! Tools place all imports before definitions, so a component without a skeleton is rare; its imports are checked
//! after its compile instead.
//!
//! # Why nesting decides
//!
//! A component has modules and components inside, whose sections are not its own: they are passed over. Everything
//! that may follow them can name what they define, so nothing behind the first definition is kept. An import there
//! would be missing in the skeleton; then there is none.

use wasmparser::{Parser, Payload};

/// Magic number and version.
const HEADER: usize = 8;

/// A binary with the same imports and nothing else. `None` if there is none: the binary is not valid, or it defines
/// something before its last import. Takes time in proportion to the binary, and reads no code.
pub(crate) fn imports(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut skeleton = bytes.get(..HEADER)?.to_vec();
    let mut depth = 0_usize;
    let mut defines = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.ok()?;
        match payload {
            // The parser goes on into nested ones: their sections come with a depth, and are passed over.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                defines = true;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::ImportSection(_) | Payload::ComponentImportSection(_) if defines => {
                return None;
            }
            // An alias or a type behind a definition may name it, and no import needs it.
            payload if is_of_imports(&payload) && !defines => {
                let (id, section) = payload.as_section()?;
                append(&mut skeleton, id, bytes.get(section)?);
            }
            Payload::Version { .. } | Payload::CustomSection(_) => {}
            _ => defines = true,
        }
    }
    Some(skeleton)
}

/// Whether the section is needed to state the imports: imports, and the types that they name.
fn is_of_imports(payload: &Payload<'_>) -> bool {
    matches!(
        payload,
        Payload::TypeSection(_)
            | Payload::ImportSection(_)
            | Payload::CoreTypeSection(_)
            | Payload::ComponentTypeSection(_)
            | Payload::ComponentAliasSection(_)
            | Payload::ComponentImportSection(_)
    )
}

/// Appends a section with its id, and its size in LEB128: seven bits in each byte, the lowest first, and the highest
/// bit says that more follow.
fn append(binary: &mut Vec<u8>, id: u8, section: &[u8]) {
    binary.push(id);
    let mut size = section.len();
    while size >= 0x80 {
        binary.push(u8::try_from(size % 0x80).expect("seven bits") | 0x80);
        size /= 0x80;
    }
    binary.push(u8::try_from(size).expect("seven bits"));
    binary.extend_from_slice(section);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skeleton(text: &str) -> Option<Vec<u8>> {
        imports(&wat::parse_str(text).expect("it is valid"))
    }

    #[test]
    fn types_and_imports_are_kept_and_code_is_not() {
        let text = r#"(module
            (import "env" "abort" (func (param i32)))
            (func (export "f") (result i32) (i32.const 1)))"#;
        let skeleton = skeleton(text).expect("a skeleton");
        let sections = Parser::new(0).parse_all(&skeleton);
        let sections = sections.filter_map(|payload| payload.ok()?.as_section().map(|(id, _)| id));
        assert_eq!(sections.collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_import_behind_a_definition_leaves_no_skeleton() {
        let before = r#"(component (import "a:b/c" (instance)) (core module))"#;
        assert!(skeleton(before).is_some());
        let behind = r#"(component (core module) (import "a:b/c" (instance)))"#;
        assert_eq!(skeleton(behind), None);
        assert_eq!(imports(b"\0asm"), None);
    }
}

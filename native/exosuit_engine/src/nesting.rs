//! Refuses components whose types are nested too deeply, before wasmparser reads them.
//!
//! wasmparser reads a component type within a component type by recursion, and checks the depth only afterwards:
//! a file of a few kilobytes overflows its stack, and that ends the process. Everything that wasmparser reads this
//! way is therefore checked here first, without recursion.
//!
//! It runs before each compile, in this process or in `exosuit-compile`, and takes time in proportion to the types
//! of a component. It accepts unknown bytes: the next reader reports errors in them.

use wasmparser::{
    BinaryReader, ComponentType, ComponentTypeDeclaration, Parser, Payload, Result as Parsed,
};

use crate::Error;

/// How deep it may be. That of interfaces is three or four, and wasmparser's own bound is 100.
const MAX_DEPTH: usize = 64;

/// Sections of a module that hold a component with types in it.
const TYPES_OF_MODULE: &str = "component-type";

// How the binary format begins a component type, an instance type, and a type as a declaration.
const COMPONENT: u8 = 0x41;
const INSTANCE: u8 = 0x42;
const TYPE: u8 = 0x01;

/// Checks a component, or a module with what its custom sections say of components.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    let mut depth = 0_usize;
    // What is malformed is for those to tell who read it.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::CustomSection(section) if section.name().starts_with(TYPES_OF_MODULE) => {
                let component = section.data();
                for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
                    check_section(component, payload)?;
                }
            }
            // No stack is in danger here, but twenty thousand of them take a minute to compile.
            Payload::ComponentSection { .. } if depth == MAX_DEPTH => {
                return Err(refused(&Refused::Deep));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            payload => check_section(bytes, payload)?,
        }
    }
    Ok(())
}

/// Checks one section, if it has types of components.
fn check_section(bytes: &[u8], payload: Payload<'_>) -> Result<(), Error> {
    let Payload::ComponentTypeSection(section) = payload else {
        return Ok(());
    };
    let types = bytes.get(section.range()).unwrap_or_default();
    look_through(types).map_err(|why| refused(&why))
}

/// Why a component is refused.
enum Refused {
    /// It is nested too deeply.
    Deep,
    /// Its types cannot be read.
    Malformed(wasmparser::BinaryReaderError),
}

impl From<wasmparser::BinaryReaderError> for Refused {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed(error)
    }
}

/// Reads the types of a section one after the other, with how many are left on each level.
///
/// A stack of counts in the place of recursion: each entry says how many declarations are left at its depth. It has at
/// most [`MAX_DEPTH`] entries. Everything but nested types is read by wasmparser, which does not recurse there.
fn look_through(section: &[u8]) -> Result<(), Refused> {
    let mut reader = BinaryReader::new(section, 0);
    let mut left = vec![reader.read_var_u32()?];
    while let Some(count) = left.last_mut() {
        if *count == 0 {
            left.pop();
            continue;
        }
        *count -= 1;
        if left.len() > 1 && !begins(&mut reader, &[TYPE])? {
            reader.read::<ComponentTypeDeclaration<'_>>()?;
        } else if begins(&mut reader, &[COMPONENT, INSTANCE])? {
            left.push(reader.read_var_u32()?);
        } else {
            reader.read::<ComponentType<'_>>()?;
        }
        if left.len() > MAX_DEPTH {
            return Err(Refused::Deep);
        }
    }
    Ok(())
}

/// Whether one of these bytes comes next, which is then taken.
fn begins(reader: &mut BinaryReader<'_>, bytes: &[u8]) -> Parsed<bool> {
    let mut ahead = reader.clone();
    let begins = bytes.contains(&ahead.read_u8()?);
    if begins {
        *reader = ahead;
    }
    Ok(begins)
}

/// The error for a caller that wants to run it: `invalid_module`.
fn refused(why: &Refused) -> Error {
    Error::Module(match why {
        Refused::Deep => {
            format!("the component is not valid: its parts are nested more than {MAX_DEPTH} deep")
        }
        Refused::Malformed(error) => format!("the component is not valid: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        let mut section = vec![id];
        let mut size = body.len();
        while size > 0x7f {
            section.push(u8::try_from(size & 0x7f).expect("seven bits") | 0x80);
            size >>= 7;
        }
        section.push(u8::try_from(size).expect("seven bits"));
        section.extend_from_slice(body);
        section
    }

    /// A component of one component type within the other.
    fn nested(depth: usize) -> Vec<u8> {
        let mut types = vec![1];
        types.extend([COMPONENT, 1, TYPE].repeat(depth));
        types.extend([COMPONENT, 0]);
        [b"\0asm\x0d\0\x01\0".to_vec(), section(7, &types)].concat()
    }

    #[test]
    fn types_are_nested_so_deep_and_no_deeper() {
        assert_eq!(check(&nested(10)), Ok(()));
        let error = check(&nested(100_000)).expect_err("too deep");
        assert!(error.to_string().contains("64 deep"), "{error}");
    }

    #[test]
    fn components_are_nested_so_deep_and_no_deeper() {
        const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
        let within = |inner: Vec<u8>, _| [EMPTY, &section(4, &inner)].concat();
        assert_eq!(check(&(0..MAX_DEPTH).fold(EMPTY.to_vec(), within)), Ok(()));
        assert!(check(&(0..=MAX_DEPTH).fold(EMPTY.to_vec(), within)).is_err());

        // One beside the other is no depth.
        let beside = section(4, EMPTY).repeat(MAX_DEPTH + 1);
        assert_eq!(check(&[EMPTY, &beside].concat()), Ok(()));
    }

    #[test]
    fn what_a_module_says_of_components_is_looked_at() {
        let custom = [b"\x0ecomponent-type".to_vec(), nested(100_000)].concat();
        let module = [b"\0asm\x01\0\0\0".to_vec(), section(0, &custom)].concat();
        assert!(check(&module).is_err());
    }

    #[test]
    fn declarations_of_all_kinds_are_passed_over() {
        let text = r#"
            (component
              (type $outer u32)
              (type (component
                (core type (module))
                (type $t (tuple u8 string))
                (import "a" (instance (type (list u8)) (export "f" (func (param "x" u32)))))
                (alias outer 1 $outer (type))
                (export "g" (func (param "y" $t)))))
              (type (instance (export "r" (type (sub resource)))))
              (type (func (param "z" bool))))
        "#;
        let component = wat::parse_str(text).expect("a component");
        assert_eq!(check(&component), Ok(()));
    }
}

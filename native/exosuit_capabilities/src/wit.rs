//! Calls of WIT functions: their names, and their arguments one after another.

use exosuit_core::{Code, Error, Value};

/// Interface and function of an operation of this package: `store` and `get` of
/// `wasi:keyvalue/store@0.2.0-draft#get`. Any version will do, or none.
pub(crate) fn function<'a>(operation: &'a str, package: &str) -> Option<(&'a str, &'a str)> {
    let rest = operation.strip_prefix(package)?.strip_prefix('/')?;
    let (interface, function) = rest.split_once('#')?;
    let interface = interface
        .split_once('@')
        .map_or(interface, |(name, _)| name);
    Some((interface, function))
}

/// The arguments of a call, taken in order. Each function returns `None` if the argument is missing
/// or of another type.
///
/// ```text
/// Arguments::read("get(bucket, key: string)", values, |given| Some((given.text()?, given.text()?)))
/// ```
pub(crate) struct Arguments(std::vec::IntoIter<Value>);

impl Arguments {
    /// Arguments to take from.
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// Takes all arguments with `read`.
    ///
    /// # Errors
    ///
    /// `invalid_input` with the shape, if one is missing, of another type, or left over.
    pub(crate) fn read<T>(
        shape: &str,
        values: Vec<Value>,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, Error> {
        let mut arguments = Self::new(values);
        read(&mut arguments)
            .filter(|_| arguments.are_all_read())
            .ok_or_else(|| {
                let detail = format!("the arguments are not what they must be: {shape}");
                Error::new(Code::InvalidInput, detail)
            })
    }

    /// Whether no argument is left.
    pub(crate) fn are_all_read(&self) -> bool {
        self.0.len() == 0
    }

    /// The next argument, of any type.
    pub(crate) fn value(&mut self) -> Option<Value> {
        self.0.next()
    }

    /// A `list<u8>`.
    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.value()? {
            Value::Binary(bytes) => Some(bytes.into()),
            _ => None,
        }
    }

    /// A `string`.
    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    /// The name of an enum's case.
    pub(crate) fn name(&mut self) -> Option<String> {
        match self.value()? {
            Value::Case(name, None) => Some(name.to_string()),
            _ => None,
        }
    }

    /// An integer.
    pub(crate) fn integer(&mut self) -> Option<i128> {
        match self.value()? {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// A list.
    pub(crate) fn list(&mut self) -> Option<Vec<Value>> {
        match self.value()? {
            Value::List(values) => Some(values),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_whatever_its_version() {
        for operation in [
            "wasi:keyvalue/store@0.2.0-draft#get",
            "wasi:keyvalue/store@9#get",
            "wasi:keyvalue/store#get",
        ] {
            assert_eq!(function(operation, "wasi:keyvalue"), Some(("store", "get")));
        }
        for other in ["wasi:keyvalue2/store#get", "wasi:keyvalue/store", "", "#"] {
            assert_eq!(function(other, "wasi:keyvalue"), None, "{other:?}");
        }
    }
}

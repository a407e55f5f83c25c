//! The custom sections of a Wasm unit that hold a token.

/// The custom sections that hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Section {
    /// `wasmcloud_jwt`, since 2022.
    #[default]
    Current,
    /// `jwt`, as in actors of 2021.
    Legacy,
}

impl Section {
    const ALL: [Self; 2] = [Self::Current, Self::Legacy];

    /// The name of the section.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "wasmcloud_jwt",
            Self::Legacy => "jwt",
        }
    }

    /// The section with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

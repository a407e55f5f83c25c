//! "Did you mean …?", for every door that takes names.

/// A longer name is not a typing error, and comparing takes time in proportion to the product of
/// the lengths.
const MAX_COMPARED: usize = 64;

/// The candidate that `name` is most likely a misspelling of.
///
/// ```
/// use exosuit_core::nearest;
///
/// assert_eq!(nearest("imgae", ["image", "id"]), Some("image"));
/// assert_eq!(nearest("replicas", ["image", "id"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let name = fold(name);
    let slips = (name.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX_COMPARED)
        .map(|candidate| (strsim::osa_distance(&name, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The name in one spelling: `linkName`, `link-name` and `link_name` count as equal.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// `; did you mean "image"?`, or an empty text.
///
/// ```
/// use exosuit_core::hint;
///
/// assert_eq!(hint("imgae", ["image", "id"]), "; did you mean \"image\"?");
/// assert_eq!(hint("replicas", ["image", "id"]), "");
/// ```
pub fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, candidates) {
        Some(candidate) => format!("; did you mean {candidate:?}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        let names = ["image", "id", "config", "link_name"];
        for (slip, name) in [
            ("imgae", "image"),
            ("Image", "image"),
            ("confg", "config"),
            ("linkName", "link_name"),
        ] {
            assert_eq!(nearest(slip, names), Some(name), "{slip}");
        }
    }

    #[test]
    fn another_word_finds_none() {
        assert_eq!(nearest("replicas", ["image", "id"]), None);
        assert_eq!(nearest(&"i".repeat(1_000), ["image", "id"]), None);
    }
}

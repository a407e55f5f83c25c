//! Removes seeds from texts.
//!
//! Every error passes through here before it is printed. The rule is wide on purpose: a public key
//! begins with another letter than `S`, and a word of forty letters and digits that begins with `S`
//! is rarely anything but a seed.

/// Whether a text looks like a seed, even with a typing error: `S` and about fifty letters and
/// digits.
pub(crate) fn looks_like_seed(text: &str) -> bool {
    const SHORTEST: usize = 40;
    let alphanumeric = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() >= SHORTEST && text.starts_with(['S', 's']) && alphanumeric
}

/// The text without seeds. An argument in the wrong place would appear in an error.
pub(crate) fn redact(text: &str) -> String {
    let word = |c: char| !c.is_ascii_alphanumeric();
    let seeds = text.split(word).filter(|part| looks_like_seed(part));
    seeds.fold(text.to_owned(), |text, seed| text.replace(seed, "(a seed)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_taken_out_wherever_they_stand() {
        let seed = "SAAFH4VTXAXLVWFUQYTOAQKZV2AAOPBP35MKBT6AVEJ7FKWXGSKDZQCYRM";
        assert_eq!(
            redact(&format!("--issuer={seed}: no")),
            "--issuer=(a seed): no"
        );
        assert_eq!(redact("Some short text, S3cret"), "Some short text, S3cret");
        let public = "ACOJJN6WUP4ODD75XEBKKTCCUJJCY5ZKQ56XVKYK4BEJWGVAOOQHZMCW";
        assert_eq!(redact(public), public);
    }
}

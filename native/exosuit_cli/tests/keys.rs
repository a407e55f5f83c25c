//! `exosuit keys gen` makes keys of every kind.

mod common;

use common::run;

#[test]
fn json_has_public_key_and_seed() -> anyhow::Result<()> {
    let kinds = [
        "account", "module", "provider", "server", "cluster", "operator", "user",
    ];
    for (kind, letter) in kinds.into_iter().zip("AMVNCOU".chars()) {
        let answer = run(["keys", "gen", kind, "--json"])?;
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
        let json = answer.json()?;
        let text = |field: &str| json[field].as_str().unwrap_or_default().to_owned();
        assert!(text("public_key").starts_with(letter), "{json}");
        assert!(text("seed").starts_with(&format!("S{letter}")), "{json}");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(2));
    }
    Ok(())
}

#[test]
fn people_are_told_to_keep_the_seed_secret() -> anyhow::Result<()> {
    let answer = run(["keys", "gen", "account"])?;
    assert!(answer.stdout.contains("public key: A"));
    assert!(answer.stdout.contains("seed:       SA"));
    assert!(answer.stdout.contains("Keep the seed secret"));
    Ok(())
}

#[test]
fn an_unknown_kind_is_a_usage_error_that_names_the_kinds() -> anyhow::Result<()> {
    let answer = run(["keys", "gen", "host"])?;
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.starts_with("error: "), "{}", answer.stderr);
    assert!(
        answer.stderr.contains("operator or user"),
        "{}",
        answer.stderr
    );
    Ok(())
}

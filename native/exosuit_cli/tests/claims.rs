//! `exosuit claims` signs, and shows what is signed and whether it holds.

mod common;

use common::{Workshop, names};
use serde_json::json;

#[test]
fn what_is_signed_is_shown() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    let options = "--cap wasmcloud:keyvalue --cap wasi:http --rev 7 --ver 1.2.3 --alias My-Echo --tag a --tag b --expires-in 30d";
    let options: Vec<_> = options.split(' ').collect();
    let answer = shop.sign("account", "module", &options)?;
    assert_eq!(answer.code, Some(0), "{answer:?}");

    let shown = shop.run(["claims", "inspect", "out.wasm", "--json"])?;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let report = shown.json()?;
    let claims = &report["claims"];
    assert_eq!(report["verified"], true);
    for (field, value) in [
        ("name", json!("Echo")),
        ("issuer", json!(shop.public_key("account")?)),
        ("subject", json!(shop.public_key("module")?)),
        ("capabilities", json!(["wasmcloud:keyvalue", "wasi:http"])),
        ("revision", json!(7)),
        ("version", json!("1.2.3")),
        ("call_alias", json!("my_echo")),
        ("tags", json!(["a", "b"])),
    ] {
        assert_eq!(claims[field], value, "{field}");
    }
    let (issued, expires) = (claims["issued_at"].as_u64(), claims["expires_at"].as_u64());
    assert_eq!(expires, issued.map(|issued| issued + 30 * 86_400));
    Ok(())
}

#[test]
fn people_see_the_same_as_lines() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    shop.sign("account", "module", &["--ver", "1\u{1b}[31m"])?;
    let shown = shop.run(["claims", "inspect", "out.wasm"])?;
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    for line in [
        format!("issuer        {}", shop.public_key("account")?),
        "capabilities  none".to_owned(),
        "expires       never".to_owned(),
        "verified      yes; any issuer counts here".to_owned(),
    ] {
        assert!(
            shown.stdout.lines().any(|shown| shown == line),
            "{}",
            shown.stdout
        );
    }
    assert!(
        !shown.stdout.contains('\u{1b}'),
        "control characters are escaped"
    );
    Ok(())
}

#[test]
fn what_does_not_verify_has_exit_code_1_and_a_reason() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    shop.sign("account", "module", &[])?;
    // One more section: custom, with the name "x" and nothing in it.
    let mut changed = std::fs::read(shop.path("out.wasm"))?;
    changed.extend(b"\0\x02\x01x");
    std::fs::write(shop.path("changed.wasm"), changed)?;

    let shown = shop.run(["claims", "inspect", "changed.wasm"])?;
    assert_eq!(shown.code, Some(1));
    assert!(
        shown
            .stderr
            .starts_with("error: changed.wasm: the module is not what was signed"),
        "{}",
        shown.stderr
    );
    assert!(shown.stdout.contains("verified      no"));

    let report = shop.run(["claims", "inspect", "changed.wasm", "--json"])?;
    assert_eq!(report.code, Some(1));
    assert_eq!(report.json()?["verified"], false);
    assert_eq!(report.json()?["code"], "wrong_hash");
    assert_eq!(report.json()?["claims"]["name"], "Echo");
    Ok(())
}

#[test]
fn what_cannot_be_read_has_exit_code_1_and_a_reason() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    std::fs::write(shop.path("text.wasm"), "hello")?;
    for (file, code) in [
        ("in.wasm", "unsigned"),
        ("text.wasm", "not_wasm"),
        ("none.wasm", "io"),
    ] {
        let report = shop.run(["claims", "inspect", file, "--json"])?;
        assert_eq!(report.code, Some(1), "{file}");
        assert_eq!(report.json()?["code"], code, "{file}");
        assert!(report.stderr.starts_with("error: "), "{file}");
        assert!(report.stderr.contains(file), "{}", report.stderr);
    }
    Ok(())
}

#[test]
fn keys_are_taken_from_files_and_from_the_command_line() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    let (issuer, subject) = (shop.seed("account")?, shop.seed("module")?);
    std::fs::write(shop.path("plain"), format!("{issuer}\n"))?;
    for (issuer, subject) in [
        ("account", subject.as_str()),
        ("plain", "module"),
        (&issuer, &subject),
    ] {
        assert_eq!(shop.sign(issuer, subject, &[])?.code, Some(0));
        let shown = shop.run(["claims", "inspect", "out.wasm", "--json"])?;
        assert_eq!(
            shown.json()?["claims"]["issuer"],
            shop.public_key("account")?
        );
    }
    Ok(())
}

#[test]
fn a_seed_of_another_kind_is_refused() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    for (issuer, subject, text) in [
        (
            "module",
            "module",
            "a key of kind module was given as the --issuer, expected account",
        ),
        (
            "account",
            "account",
            "a key of kind account was given as the --subject, expected module",
        ),
    ] {
        let answer = shop.sign(issuer, subject, &[])?;
        assert_eq!(answer.code, Some(1));
        assert_eq!(answer.stderr.trim_end(), format!("error: {text}"));
    }
    assert!(!shop.path("out.wasm").exists());
    Ok(())
}

#[test]
fn a_seed_is_never_echoed() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    let seed = shop.seed("account")?;
    let mistyped = format!("{}1", &seed[..57]);
    let option = format!("--isuer={seed}");
    let attempts: [&[&str]; 5] = [
        &[
            "claims",
            "sign",
            "in.wasm",
            "-o",
            "out.wasm",
            "--name",
            "x",
            "--issuer",
            &mistyped,
            "--subject",
            "module",
        ],
        &["claims", "inspect", &seed, "--json"],
        &["claims", "inspect", "in.wasm", &seed],
        &["claims", "sign", &option],
        &["up", &seed],
    ];
    for attempt in attempts {
        let answer = shop.run(attempt.iter().copied())?;
        assert_ne!(answer.code, Some(0));
        let said = format!("{}{}", answer.stdout, answer.stderr);
        assert!(!said.contains(&seed[..57]), "{said}");
    }
    Ok(())
}

#[test]
fn a_failed_signing_leaves_the_old_file_alone() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    std::fs::write(shop.path("out.wasm"), "old")?;
    let before = names(shop.path("").as_path())?;
    for options in [["--alias", "é"], ["--cap", ""], ["--rev", "-1"]] {
        assert_ne!(shop.sign("account", "module", &options)?.code, Some(0));
    }
    assert_eq!(std::fs::read(shop.path("out.wasm"))?, b"old");
    assert_eq!(shop.sign("account", "module", &[])?.code, Some(0));
    assert_eq!(
        names(shop.path("").as_path())?,
        before,
        "nothing else was left there"
    );
    Ok(())
}

#[test]
fn a_module_can_be_signed_in_place() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    let arguments = "claims sign in.wasm -o in.wasm --issuer account --subject module --name Echo";
    assert_eq!(shop.run(arguments.split(' '))?.code, Some(0));
    assert_eq!(shop.run(["claims", "inspect", "in.wasm"])?.code, Some(0));
    Ok(())
}

#[test]
fn durations_have_a_number_and_a_unit() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    for (text, seconds) in [
        ("90s", 90),
        ("15m", 900),
        ("12h", 43_200),
        ("4w", 2_419_200),
    ] {
        shop.sign("account", "module", &["--expires-in", text])?;
        let report = shop
            .run(["claims", "inspect", "out.wasm", "--json"])?
            .json()?;
        let time = |field: &str| report["claims"][field].as_u64().unwrap_or_default();
        assert_eq!(time("expires_at") - time("issued_at"), seconds, "{text}");
    }
    for text in [
        "30",
        "d",
        "",
        "0d",
        "-1d",
        "1.5d",
        "1y",
        "30 d",
        "é",
        "99999999999999999999d",
        "18446744073709551615w",
    ] {
        let argument = format!("--expires-in={text}");
        assert_eq!(
            shop.sign("account", "module", &[&argument])?.code,
            Some(2),
            "{text}"
        );
    }
    Ok(())
}

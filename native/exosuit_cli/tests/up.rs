//! `exosuit up` checks its arguments and then becomes the VM.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Answer, Workshop, answer, exosuit};
use serde_json::{Value, json};

/// A program in the VM's place, which says what it was told and by whom it was started.
fn fake_vm(shop: &Workshop) -> anyhow::Result<std::path::PathBuf> {
    let path = shop.path("vm");
    std::fs::write(&path, "#!/bin/sh\nprintf '%s' \"$EXOSUIT_UP\"\nexit 7\n")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(shop.path("app.yaml"), "name: app\n")?;
    Ok(path)
}

fn up(shop: &Workshop, vm: &Path, arguments: &[&str]) -> anyhow::Result<Answer> {
    let mut command = exosuit(["up"].into_iter().chain(arguments.iter().copied()));
    answer(command.current_dir(shop.path("")).env("EXOSUIT_VM", vm))
}

#[test]
fn the_vm_is_told_everything_with_absolute_paths() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    let vm = fake_vm(&shop)?;
    let issuer = shop.public_key("account")?;
    let more = [
        "app.yaml",
        "./app.yaml",
        "--host-label",
        "zone=home",
        "--host-label",
        "url=a=b",
        "--data-dir",
        "data",
        "--trust",
        &issuer,
        "--unsigned",
        "allow",
        "--wadm-api",
    ];
    let told = up(&shop, &vm, &more)?;
    assert_eq!(told.code, Some(7), "the exit code is the VM's: {told:?}");
    let expected = json!({
        "manifests": [shop.path("app.yaml"), shop.path("app.yaml")],
        "labels": {"zone": "home", "url": "a=b"},
        "data_dir": shop.path("data"),
        "trust": [issuer],
        "allow_files": [],
        "unsigned": "allow",
        "lattice_name": null,
        "http_ports": null,
        "wadm_api": true,
    });
    assert_eq!(told.json()?, expected);
    Ok(())
}

#[test]
fn what_is_not_said_has_defaults() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    let vm = fake_vm(&shop)?;
    let told = up(&shop, &vm, &["app.yaml"])?.json()?;
    assert_eq!(told["labels"], json!({}));
    assert_eq!(told["trust"], json!([]));
    assert_eq!(told["wadm_api"], json!(false));
    let told = up(
        &shop,
        &vm,
        &["app.yaml", "--trust", "any", "--allow-files", "."],
    )?
    .json()?;
    assert_eq!(told["trust"], json!(["any"]));
    let manifest = shop.path("app.yaml");
    assert_eq!(told["allow_files"], json!([manifest.parent()]));
    assert_eq!(told["unsigned"], Value::Null);
    assert_eq!(told["data_dir"], Value::Null);
    Ok(())
}

#[test]
fn arguments_that_cannot_be_meant_do_not_start_a_vm() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    let vm = fake_vm(&shop)?;
    let module = shop.public_key("module")?;
    let cases: [(&[&str], i32, &str); 11] = [
        (&[], 2, "MANIFEST"),
        (&["none.yaml"], 1, "there is no manifest none.yaml"),
        (&["."], 1, "there is no manifest ."),
        (
            &["app.yaml", "--host-label", "zone"],
            2,
            "expected KEY=VALUE",
        ),
        (
            &["app.yaml", "--host-label", "=home"],
            2,
            "expected KEY=VALUE",
        ),
        (
            &["app.yaml", "--host-label", "a=1", "--host-label", "a=2"],
            2,
            "--host-label a is given twice",
        ),
        (
            &["app.yaml", "--data-dir", "app.yaml"],
            2,
            "--data-dir app.yaml is not a directory",
        ),
        (
            &["app.yaml", "--trust", &module],
            2,
            "expected the key of an account",
        ),
        (
            &["app.yaml", "--trust", "somebody"],
            2,
            "is not a public key",
        ),
        (
            &["app.yaml", "--trust", "any", "--trust", "any"],
            2,
            "--trust any already trusts every issuer",
        ),
        (
            &["app.yaml", "--allow-files", "app.yaml"],
            2,
            "--allow-files app.yaml is not a directory",
        ),
    ];
    for (arguments, code, text) in cases {
        let refused = up(&shop, &vm, arguments)?;
        assert_eq!(refused.code, Some(code), "{arguments:?}: {refused:?}");
        assert!(
            refused.stderr.starts_with("error: ") || arguments.is_empty(),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
        assert_eq!(refused.stdout, "", "the VM was started");
    }
    Ok(())
}

#[test]
fn without_a_vm_it_says_how_to_get_one() -> anyhow::Result<()> {
    let shop = Workshop::new()?;
    fake_vm(&shop)?;
    let refused = shop.run(["up", "app.yaml"])?;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("run bin/exosuit"),
        "{}",
        refused.stderr
    );

    let gone = up(&shop, &shop.path("gone"), &["app.yaml"])?;
    assert_eq!(gone.code, Some(1));
    assert!(
        gone.stderr.starts_with("error: cannot start "),
        "{}",
        gone.stderr
    );
    Ok(())
}

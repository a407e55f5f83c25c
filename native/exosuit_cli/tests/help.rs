//! Every command explains itself.

mod common;

use common::run;

const COMMANDS: [&[&str]; 36] = [
    &[],
    &["up"],
    &["hosts"],
    &["inventory"],
    &["call"],
    &["actor"],
    &["actor", "start"],
    &["actor", "stop"],
    &["actor", "scale"],
    &["actor", "update"],
    &["provider"],
    &["provider", "start"],
    &["provider", "stop"],
    &["link"],
    &["link", "put"],
    &["link", "del"],
    &["link", "list"],
    &["events"],
    &["apply"],
    &["delete"],
    &["app"],
    &["app", "list"],
    &["app", "status"],
    &["app", "history"],
    &["app", "deploy"],
    &["app", "undeploy"],
    &["app", "rollback"],
    &["app", "delete"],
    &["remote"],
    &["stop"],
    &["keys"],
    &["keys", "gen"],
    &["inspect"],
    &["claims"],
    &["claims", "sign"],
    &["claims", "inspect"],
];

#[test]
fn help_is_on_stdout_and_has_an_example_where_something_is_done() -> anyhow::Result<()> {
    for command in COMMANDS {
        let help = run(command.iter().copied().chain(["--help"]))?;
        assert_eq!(
            (help.code, help.stderr.as_str()),
            (Some(0), ""),
            "{command:?}"
        );
        assert!(help.stdout.contains("Usage: exosuit"), "{}", help.stdout);
        let groups = matches!(
            command,
            ["keys" | "claims" | "actor" | "app" | "provider" | "link"]
        );
        assert!(groups || help.stdout.contains("Example"), "{}", help.stdout);
    }
    Ok(())
}

#[test]
fn a_command_line_that_is_wrong_has_exit_code_2() -> anyhow::Result<()> {
    let wrong: [&[&str]; 4] = [&[], &["keys"], &["fly"], &["keys", "gen", "--fast"]];
    for arguments in wrong {
        let answer = run(arguments.iter().copied())?;
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(
            answer.stderr.contains("Usage: exosuit"),
            "{}",
            answer.stderr
        );
    }
    Ok(())
}

#[test]
fn it_knows_its_version() -> anyhow::Result<()> {
    let version = run(["--version"])?;
    assert_eq!(
        version.stdout.trim_end(),
        format!("exosuit {}", env!("CARGO_PKG_VERSION"))
    );
    Ok(())
}

//! How new versions roll out: annotations of the application.

mod common;

use common::{bad, parse};
use exosuit_manifest::{Parsed, Rollout};

fn with_annotations(annotations: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: app\n  \
         annotations:\n    version: v1\n    {annotations}\nspec:\n  components:\n    \
         - {{name: a, type: component, properties: {{image: a.wasm}}}}\n"
    )
}

fn parsed(annotations: &str) -> Parsed {
    parse(&with_annotations(annotations)).expect("a good manifest")
}

#[test]
fn the_rollout_is_read_from_annotations() {
    let Parsed { manifest, warnings } =
        parsed("exosuit.max_unavailable: '3'\n    exosuit.progress_deadline: 5m 30s");
    assert_eq!(warnings, []);
    let rollout = Rollout {
        max_unavailable: Some(3),
        progress_deadline_ms: Some(330_000),
    };
    assert_eq!(manifest.rollout, rollout);

    let unquoted = parsed("exosuit.max_unavailable: 2").manifest;
    assert_eq!(unquoted.rollout.max_unavailable, Some(2));
    assert_eq!(parsed("team: core").manifest.rollout, Rollout::default());
}

#[test]
fn a_rollout_out_of_bounds_is_a_mistake_at_its_line() {
    for (annotation, expected) in [
        (
            "exosuit.max_unavailable: '0'",
            "a number of hosts from 1 to 1000",
        ),
        (
            "exosuit.max_unavailable: 50%",
            "a number of hosts from 1 to 1000",
        ),
        (
            "exosuit.max_unavailable: 1001",
            "a number of hosts from 1 to 1000",
        ),
        (
            "exosuit.progress_deadline: 10",
            "a duration from 1s to 1day",
        ),
        (
            "exosuit.progress_deadline: 2days",
            "a duration from 1s to 1day",
        ),
        (
            "exosuit.progress_deadline: []",
            "a duration from 1s to 1day",
        ),
    ] {
        let mistakes = bad(&with_annotations(annotation));
        let [mistake] = mistakes.as_slice() else {
            // What is no text is no annotation either.
            assert!(mistakes.iter().all(|it| it.line == 7), "{mistakes:#?}");
            continue;
        };
        assert_eq!(mistake.line, 7, "{mistake}");
        assert!(mistake.to_string().contains(expected), "{mistake}");
    }
}

#[test]
fn a_misspelt_setting_is_a_warning_with_the_nearest_name() {
    let warnings = parsed("exosuit.max_unavailible: '3'").warnings;
    let [warning] = warnings.as_slice() else {
        panic!("expected one warning: {warnings:#?}");
    };
    assert_eq!(warning.line, 7);
    assert!(
        warning.to_string().contains("exosuit.max_unavailable"),
        "{warning}"
    );
}

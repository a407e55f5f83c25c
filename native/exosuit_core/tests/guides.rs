//! The tables of settings in the guides are those of the built-in providers.
//!
//! `EXOSUIT_WRITE_GUIDES=1 cargo test -p exosuit_core --test guides` writes them anew.

use std::fs;
use std::io;

use exosuit_core::{BUILTINS, HTTP_CLIENT, HTTP_SERVER, KEYVALUE, MESSAGING, Scope};

const END: &str = "<!-- end -->";

/// The guide, the words of the marker, and the table that follows it.
fn tables() -> [(&'static str, &'static str, String); 9] {
    const LINKS: [Scope; 2] = [Scope::Link, Scope::Either];
    const PROVIDER: [Scope; 1] = [Scope::Provider];
    const ADDRESSES: [Scope; 1] = [Scope::Address];
    let (client, server) = (&HTTP_CLIENT, &HTTP_SERVER);
    [
        (
            "http",
            "settings of http-server: routes",
            server.settings_table(&LINKS),
        ),
        (
            "http",
            "settings of http-server: addresses",
            server.settings_table(&ADDRESSES),
        ),
        (
            "http",
            "settings of http-client: links",
            client.settings_table(&LINKS),
        ),
        (
            "http",
            "settings of http-client: provider",
            client.settings_table(&PROVIDER),
        ),
        (
            "keyvalue",
            "settings of keyvalue: links",
            KEYVALUE.settings_table(&LINKS),
        ),
        (
            "keyvalue",
            "settings of keyvalue: provider",
            KEYVALUE.settings_table(&PROVIDER),
        ),
        (
            "keyvalue",
            "foreign settings of keyvalue",
            KEYVALUE.foreign_table(),
        ),
        (
            "messaging",
            "settings of messaging",
            MESSAGING.settings_table(&LINKS),
        ),
        (
            "messaging",
            "foreign settings of messaging",
            MESSAGING.foreign_table(),
        ),
    ]
}

#[test]
fn the_guides_show_every_setting_as_the_providers_read_it() -> io::Result<()> {
    for (guide, marker, table) in tables() {
        let path = format!("{}/../../guides/{guide}.md", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path)?;
        let marker = format!("<!-- {marker} -->\n");
        let start = text.find(&marker).expect("the marker of the table") + marker.len();
        let length = text[start..].find(END).expect("the end of the table");
        let found = &text[start..start + length];
        if found != table && std::env::var_os("EXOSUIT_WRITE_GUIDES").is_some() {
            let whole = format!("{}{table}{}", &text[..start], &text[start + length..]);
            fs::write(&path, whole)?;
        } else {
            assert_eq!(
                found, table,
                "{path}: run this test with EXOSUIT_WRITE_GUIDES=1"
            );
        }
    }
    Ok(())
}

#[test]
fn no_setting_is_missing_in_the_guides() {
    let shown: String = tables().into_iter().map(|(_, _, table)| table).collect();
    for builtin in BUILTINS {
        for setting in builtin.settings {
            assert!(
                shown.contains(&setting.row()),
                "{} of {}",
                setting.name,
                builtin.name
            );
        }
    }
}

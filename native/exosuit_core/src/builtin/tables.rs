//! The tables: every built-in provider, every contract, every setting.

use super::setting::{Foreign, Scope, Setting};
use super::{Builtin, Offer};
use crate::Bound;

/// Requests of actors to hosts outside.
pub static HTTP_CLIENT: Builtin = Builtin {
    name: "http-client",
    other_names: &[],
    offers: &[
        wasmbus("wasmcloud:httpclient"),
        wit("wasi:http", &["outgoing-handler"], &[]),
    ],
    listens: false,
    settings: &[
        Setting::text("allowed_hosts", "where requests may go").for_safety(),
        Setting::milliseconds(
            "connect_timeout_ms",
            10_000,
            "for a connection, its name looked up and TLS agreed on",
        )
        .of(Scope::Provider),
        Setting::milliseconds(
            "body_timeout_ms",
            60_000,
            "the longest pause of a server that reads a request",
        )
        .of(Scope::Provider),
        Setting::milliseconds(
            "idle_timeout_ms",
            30_000,
            "for a connection that nobody uses",
        )
        .of(Scope::Provider),
        Setting::number(
            "max_idle_per_host",
            [32, 1, 65_536],
            "connections to one server that nobody uses",
        )
        .of(Scope::Provider),
        Setting::number(
            "max_connections",
            [1_024, 1, 65_536],
            "to all servers; a request that finds none free in `connect_timeout_ms` is refused",
        )
        .of(Scope::Provider),
        Setting::number(
            "max_connections_per_actor",
            [512, 1, 65_536],
            "of those, for the requests of one actor, so that none takes them all",
        )
        .of(Scope::Provider)
        .shown("half of `max_connections`"),
        Setting::bytes(
            "max_body_bytes",
            [16 << 20, 0, 1 << 30],
            "of a response to `wasmcloud:httpclient`, which comes whole",
        )
        .of(Scope::Provider),
        Setting::text(
            "ca_file",
            "a file of certificates in PEM that is trusted in place of the web's roots",
        )
        .of(Scope::Provider)
        .for_safety(),
        Setting::text(
            "ca_files",
            "files of certificates in PEM, separated by commas, that are trusted as well",
        )
        .also(&["ssl_certs_file"])
        .of(Scope::Provider)
        .for_safety(),
        Setting::flag(
            "load_webpki_certs",
            true,
            "whether the web's roots are trusted; with `ca_file`, only if this says so",
        )
        .of(Scope::Provider)
        .for_safety(),
        Setting::flag(
            "load_native_certs",
            false,
            "whether the roots of the operating system are trusted as well",
        )
        .of(Scope::Provider)
        .for_safety(),
    ],
    foreign: &[],
};

/// Requests from outside to actors.
pub static HTTP_SERVER: Builtin = Builtin {
    name: "http-server",
    other_names: &[],
    offers: &[
        wasmbus("wasmcloud:httpserver"),
        wit("wasi:http", &[], &["incoming-handler"]),
    ],
    listens: true,
    settings: &[
        Setting::text(
            "address",
            "IP:PORT to listen on; port 0 takes a free one for this link",
        )
        .shown("`default_address`"),
        Setting::text("default_address", "for the links that name no `address`")
            .shown("`127.0.0.1:8080`"),
        Setting::text("port", "an `address` on loopback: 0 to 65535"),
        Setting::text("host", "the host of the requests that this link is for").shown("any"),
        Setting::text("path", "the path of those requests, with all below it").shown("any"),
        Setting::text(
            "routing_mode",
            "`address`, `path` or `host`; the last two demand that setting and refuse the other",
        )
        .shown("`address`"),
        Setting::text(
            "header",
            "another header whose value is compared with `host`, as it is written",
        )
        .shown("`host`"),
        Setting::milliseconds(
            "timeout_ms",
            30_000,
            "the deadline of a request; of `wasmcloud:httpserver`, once it has been read",
        ),
        Setting::bytes(
            "max_body_bytes",
            [16 << 20, 0, 1 << 50],
            "more is answered with 413; at most 1g for `wasmcloud:httpserver`",
        )
        .also(&["max_content_len"])
        .shown("16m; none for `wasi:http`"),
        Setting::flag("readonly_mode", false, "only GET and HEAD; 405 for others").for_safety(),
        Setting::text(
            "cache_control",
            "the `Cache-Control` of answers that have none: `max-age=20`",
        ),
        Setting::text(
            "cors_allowed_origins",
            "the origins whose pages may read answers, in JSON or with commas; an empty list for \
             all. With any key of CORS the server answers preflight requests itself",
        )
        .for_safety(),
        Setting::text("cors_allowed_methods", "the methods that preflight requests are told")
            .shown("`GET`, `POST`, `PUT`, `DELETE`, `HEAD`, `OPTIONS`")
            .for_safety(),
        Setting::text("cors_allowed_headers", "the headers that they are told")
            .shown("`accept`, `accept-language`, `content-type`, `content-language`")
            .for_safety(),
        Setting::text("cors_exposed_headers", "the headers of answers that pages may read")
            .for_safety(),
        Setting::number(
            "cors_max_age_secs",
            [300, 0, 86_400],
            "for how long browsers keep the answer to a preflight request",
        ),
        Setting::text(
            "config_json",
            "settings of the OTP era: a JSON object of these",
        ),
        Setting::text("config_b64", "the same in base64"),
        Setting::text(
            "tls_cert_file",
            "the file of the certificate chain, in PEM: connections have TLS 1.2 or 1.3",
        )
        .of(Scope::Address)
        .for_safety(),
        Setting::text("tls_priv_key_file", "the file of its private key, in PEM")
            .of(Scope::Address)
            .for_safety(),
        Setting::milliseconds(
            "tls_reload_ms",
            10_000,
            "how often both files are read again; a changed certificate holds for new connections",
        )
        .of(Scope::Address),
        Setting::milliseconds(
            "header_timeout_ms",
            30_000,
            "for the handshake of TLS, for a request's header, and for the next request of a \
             connection",
        )
        .of(Scope::Address),
        Setting::milliseconds(
            "first_byte_timeout_ms",
            10_000,
            "for the first byte of a request's body; and for how long a client may send the rest \
             slower than `min_rate`",
        )
        .of(Scope::Address),
        Setting::milliseconds(
            "body_timeout_ms",
            60_000,
            "for a whole request body of `wasmcloud:httpserver`; the longest pause of a client that \
             sends a body or reads an answer; and for how long it may read slower than `min_rate`",
        )
        .of(Scope::Address),
        Setting::bytes(
            "min_rate",
            [240, 0, 1 << 30],
            "bytes a second that a client must send or read while the server waits for it",
        )
        .of(Scope::Address),
        // hyper's reading buffer is never smaller than 8 KiB.
        Setting::bytes(
            "max_header_bytes",
            [64 << 10, 8 << 10, 1 << 20],
            "more is answered with 431",
        )
        .of(Scope::Address),
        Setting::bytes(
            "max_buffered_bytes",
            [256 << 20, 0, 1 << 40],
            "the bodies of requests and answers that are buffered, of all connections; past it, 503",
        )
        .of(Scope::Address),
        Setting::number(
            "max_connections",
            [1_024, 1, 65_536],
            "further ones wait, and connections without a request are closed for them",
        )
        .of(Scope::Address),
        Setting::number(
            "max_connections_per_peer",
            [512, 1, 65_536],
            "of one client address, or of one IPv6 network of 64 bits; further ones are closed",
        )
        .shown("half of `max_connections`, at least 64")
        .of(Scope::Address),
        Setting::number(
            "max_streams",
            [100, 1, 10_000],
            "requests at a time, of one connection of HTTP/2",
        )
        .of(Scope::Address),
        // What HTTP/2 starts with, and what it can count.
        Setting::bytes(
            "max_window_bytes",
            [256 << 10, 65_535, (1 << 31) - 1],
            "what a connection of HTTP/2 may have sent and no actor has read; a quarter for one \
             request",
        )
        .of(Scope::Address),
    ],
    foreign: &[foreign(
        "log",
        "elsewhere it says how much the provider logs; here the log level of the host does",
    )],
};

/// Keys and values.
pub static KEYVALUE: Builtin = Builtin {
    name: "keyvalue",
    other_names: &[],
    offers: &[
        wasmbus("wasmcloud:keyvalue"),
        wit("wasi:keyvalue", &["store", "atomics", "batch"], &[]),
    ],
    listens: false,
    settings: &[
        Setting::text(
            "bucket",
            "the data that the actor sees: links with the same bucket share it; 1 to 128 of A-Z, \
             a-z, 0-9, -, _ and .",
        )
        .of(Scope::Link)
        .for_safety()
        .shown("`default`"),
        Setting::text("backend", "`memory`, `file` or `nats`")
            .of(Scope::Provider)
            .shown(
                "`nats` in a lattice over NATS, else `file` with a data directory, else `memory`",
            ),
        Setting::bytes(
            "max_bytes",
            [256 << 20, 1 << 10, 1 << 40],
            "of all data of the provider; for `nats`, of the bucket when it is made",
        )
        .of(Scope::Provider),
        Setting::bytes(
            "max_bucket_bytes",
            [0, 1 << 10, 1 << 40],
            "of the data in the bucket of a link, so that no tenant fills the store for all; not for \
             `nats`, where each tenant needs a provider",
        )
        .for_safety()
        .shown("half of `max_bytes`"),
        Setting::number(
            "replicas",
            [1, Bound::REPLICAS.least, Bound::REPLICAS.most],
            "on how many servers the bucket of `nats` is kept, when it is made",
        )
        .of(Scope::Provider)
        .shown("as the host's own buckets"),
        Setting::bytes(
            "max_value_bytes",
            [16 << 20, 1, 1 << 30],
            "of a value, or of an item in a list",
        )
        .of(Scope::Provider),
        Setting::number("max_items", [65_536, 1, 1 << 24], "of a list or set").of(Scope::Provider),
    ],
    foreign: &[
        foreign("auth_jwt", CONNECTION),
        foreign("auth_seed", CONNECTION),
        foreign("client_jwt", CONNECTION),
        foreign("client_seed", CONNECTION),
        foreign("cluster_uri", CONNECTION),
        foreign("cluster_uris", CONNECTION),
        foreign(
            "enable_bucket_auto_create",
            "buckets are made when they are needed",
        ),
        foreign("js_domain", CONNECTION),
        foreign("share_connections_by_url", REDIS),
        foreign("tls_ca", CONNECTION),
        foreign("tls_ca_file", CONNECTION),
        foreign("uri", CONNECTION),
        foreign("url", REDIS),
    ],
};

/// Messages to and from actors.
pub static MESSAGING: Builtin = Builtin {
    name: "messaging",
    // Its name with hosts of 1.x.
    other_names: &["messaging-nats"],
    offers: &[wit("wasmcloud:messaging", &["consumer"], &["handler"])],
    listens: true,
    settings: &[
        Setting::text(
            "subscriptions",
            "subjects, separated by commas, with the wildcards of NATS: `orders.*,news.>`; \
             `orders.*\\|workers` in the group `workers`; `orders.*\\|` in none",
        ),
        Setting::text(
            "subscription",
            "the same, as the OTP era spells it; both may be given",
        ),
        Setting::number(
            "max_in_flight",
            [64, 1, 65_536],
            "messages of one subscription that are handled at a time; with 1 they are handled in \
             order",
        ),
        Setting::milliseconds("timeout_ms", 30_000, "the deadline for handling one"),
    ],
    foreign: &[
        foreign("auth_jwt", CONNECTION),
        foreign("auth_seed", CONNECTION),
        foreign("client_jwt", CONNECTION),
        foreign("client_seed", CONNECTION),
        foreign("cluster_uris", CONNECTION),
        foreign("config_b64", "give the settings as keys of their own"),
        foreign("config_json", "give the settings as keys of their own"),
        foreign(
            "consumers",
            "streams of JetStream are not read; use subscriptions",
        ),
        foreign("custom_inbox_prefix", CONNECTION),
        foreign("tls_ca", CONNECTION),
        foreign("tls_ca_file", CONNECTION),
        foreign("uri", CONNECTION),
    ],
};

/// Lines for the log of the host; needs no link.
pub static LOGGING: Builtin = Builtin {
    name: "logging",
    other_names: &[],
    offers: &[
        wasmbus("wasmcloud:builtin:logging"),
        wit("wasi:logging", &["logging"], &[]),
    ],
    listens: false,
    settings: &[],
    foreign: &[],
};

/// Random numbers; needs no link.
pub static NUMBERGEN: Builtin = Builtin {
    name: "numbergen",
    other_names: &[],
    offers: &[wasmbus("wasmcloud:builtin:numbergen")],
    listens: false,
    settings: &[],
    foreign: &[],
};

const CONNECTION: &str =
    "elsewhere it says how the provider reaches NATS; here it uses the connection of the host";

const REDIS: &str = "elsewhere it names a Redis server; here the setting backend of the provider \
                     says where data is kept";

const fn wasmbus(contract: &'static str) -> Offer {
    wit(contract, &[], &[])
}

const fn wit(
    contract: &'static str,
    answers: &'static [&'static str],
    calls: &'static [&'static str],
) -> Offer {
    Offer {
        contract,
        answers,
        calls,
    }
}

const fn foreign(name: &'static str, instead: &'static str) -> Foreign {
    Foreign { name, instead }
}

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
        Setting::text("allowed_hosts", "the hosts that requests may go to").for_safety(),
        Setting::milliseconds(
            "connect_timeout_ms",
            10_000,
            "the longest time to connect, with the name lookup and the TLS handshake",
        )
        .of(Scope::Provider),
        Setting::milliseconds(
            "body_timeout_ms",
            60_000,
            "the longest pause of a server while it reads a request",
        )
        .of(Scope::Provider),
        Setting::milliseconds(
            "idle_timeout_ms",
            30_000,
            "an idle connection is closed after this time",
        )
        .of(Scope::Provider),
        Setting::number(
            "max_idle_per_host",
            [32, 1, 65_536],
            "idle connections to one server that are kept",
        )
        .of(Scope::Provider),
        Setting::number(
            "max_connections",
            [1_024, 1, 65_536],
            "connections to all servers; idle ones are closed for a request that needs one, and a \
             request that gets none within `connect_timeout_ms` is refused",
        )
        .of(Scope::Provider),
        Setting::number(
            "max_connections_per_actor",
            [512, 1, 65_536],
            "connections for the requests of one actor, so that no actor takes all of them",
        )
        .of(Scope::Provider)
        .shown("half of `max_connections`"),
        Setting::bytes(
            "max_body_bytes",
            [16 << 20, 0, 1 << 30],
            "the largest response to `wasmcloud:httpclient`, which does not stream",
        )
        .of(Scope::Provider),
        Setting::text(
            "ca_file",
            "a PEM file of certificates that are trusted instead of the web's roots",
        )
        .of(Scope::Provider)
        .for_safety(),
        Setting::text(
            "ca_files",
            "PEM files, separated by commas, of further certificates to trust",
        )
        .also(&["ssl_certs_file"])
        .of(Scope::Provider)
        .for_safety(),
        Setting::flag(
            "load_webpki_certs",
            true,
            "whether the web's roots are trusted; with `ca_file`, the default is `false`",
        )
        .of(Scope::Provider)
        .for_safety(),
        Setting::flag(
            "load_native_certs",
            false,
            "whether the root certificates of the operating system are trusted as well",
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
        Setting::text("default_address", "the address of links without `address`")
            .shown("`127.0.0.1:8080`"),
        Setting::text("port", "an `address` on loopback: 0 to 65535"),
        Setting::text("host", "the host of the requests that this link is for").shown("any"),
        Setting::text("path", "the path of those requests, and all paths below it").shown("any"),
        Setting::text(
            "routing_mode",
            "`address`, `path` or `host`; with `path` or `host`, that setting is required and \
             the other is refused",
        )
        .shown("`address`"),
        Setting::text(
            "header",
            "another header whose value must equal `host` exactly",
        )
        .shown("`host`"),
        Setting::milliseconds(
            "timeout_ms",
            30_000,
            "the deadline of a request; for `wasmcloud:httpserver`, it starts when the request \
             has been read",
        ),
        Setting::bytes(
            "max_body_bytes",
            [16 << 20, 0, 1 << 50],
            "the largest request body; a larger one gets the answer 413; at most 1g for \
             `wasmcloud:httpserver`",
        )
        .also(&["max_content_len"])
        .shown("16m; none for `wasi:http`"),
        Setting::flag(
            "readonly_mode",
            false,
            "allows only GET and HEAD; other methods get the answer 405",
        )
        .for_safety(),
        Setting::text(
            "cache_control",
            "the `Cache-Control` of answers without one: `max-age=20`",
        ),
        Setting::text(
            "cors_allowed_origins",
            "the origins whose pages may read answers, as a JSON list or separated by commas; an \
             empty list allows all. With any CORS setting, the server answers preflight requests \
             itself",
        )
        .for_safety(),
        Setting::text(
            "cors_allowed_methods",
            "the methods that answers to preflight requests allow",
        )
        .shown("`GET`, `POST`, `PUT`, `DELETE`, `HEAD`, `OPTIONS`")
        .for_safety(),
        Setting::text(
            "cors_allowed_headers",
            "the request headers that answers to preflight requests allow",
        )
        .shown("`accept`, `accept-language`, `content-type`, `content-language`")
        .for_safety(),
        Setting::text(
            "cors_exposed_headers",
            "the response headers that pages may read",
        )
        .for_safety(),
        Setting::number(
            "cors_max_age_secs",
            [300, 0, 86_400],
            "how long browsers cache the answer to a preflight request",
        ),
        Setting::text(
            "config_json",
            "settings as in the OTP era: a JSON object of the settings above",
        ),
        Setting::text("config_b64", "the same in base64"),
        Setting::text(
            "tls_cert_file",
            "the PEM file of the certificate chain; connections then use TLS 1.2 or 1.3",
        )
        .of(Scope::Address)
        .for_safety(),
        Setting::text("tls_priv_key_file", "the PEM file of its private key")
            .of(Scope::Address)
            .for_safety(),
        Setting::milliseconds(
            "tls_reload_ms",
            10_000,
            "how often both files are read again; new connections use a changed certificate",
        )
        .of(Scope::Address),
        Setting::milliseconds(
            "header_timeout_ms",
            30_000,
            "the longest time for the TLS handshake, for a request's header, and between two \
             requests of a connection",
        )
        .of(Scope::Address),
        Setting::milliseconds(
            "first_byte_timeout_ms",
            10_000,
            "the longest time until the first byte of a request's body; also how long a client \
             may send the rest slower than `min_rate`",
        )
        .of(Scope::Address),
        Setting::milliseconds(
            "body_timeout_ms",
            60_000,
            "the longest time for a whole request body of `wasmcloud:httpserver`; the longest \
             pause of a client that sends a body or reads an answer; and how long it may read \
             slower than `min_rate`",
        )
        .of(Scope::Address),
        Setting::bytes(
            "min_rate",
            [240, 0, 1 << 30],
            "bytes per second that a client must send or read while the server waits for it",
        )
        .of(Scope::Address),
        // hyper's reading buffer is never smaller than 8 KiB.
        Setting::bytes(
            "max_header_bytes",
            [64 << 10, 8 << 10, 1 << 20],
            "the largest request header; a larger one gets the answer 431",
        )
        .of(Scope::Address),
        Setting::bytes(
            "max_buffered_bytes",
            [256 << 20, 0, 1 << 40],
            "the buffered bodies of requests and answers, over all connections; requests beyond \
             it get the answer 503",
        )
        .of(Scope::Address),
        Setting::number(
            "max_connections",
            [1_024, 1, 65_536],
            "open connections; further clients wait, and connections without a request are \
             closed for them",
        )
        .of(Scope::Address),
        Setting::number(
            "max_connections_per_peer",
            [512, 1, 65_536],
            "connections of one client address, or of one IPv6 /64 network; further ones are \
             closed",
        )
        .shown("half of `max_connections`, at least 64")
        .of(Scope::Address),
        Setting::number(
            "max_streams",
            [100, 1, 10_000],
            "concurrent requests of one HTTP/2 connection",
        )
        .of(Scope::Address),
        // The initial window of HTTP/2, and its maximum.
        Setting::bytes(
            "max_window_bytes",
            [256 << 10, 65_535, (1 << 31) - 1],
            "bytes that an HTTP/2 connection may have sent and no actor has read yet; a quarter \
             of it for one request",
        )
        .of(Scope::Address),
    ],
    foreign: &[foreign(
        "log",
        "in other hosts it sets the log level of the provider; here the log level of the host \
         applies",
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
            "the name of the data that the actor sees; links with the same bucket share data; 1 \
             to 128 characters of A-Z, a-z, 0-9, -, _ and .",
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
            "the size of all data of the provider; for `nats`, the size with which the bucket is \
             made",
        )
        .of(Scope::Provider),
        Setting::bytes(
            "max_bucket_bytes",
            [0, 1 << 10, 1 << 40],
            "the size of the data in one bucket, so that no tenant fills the store for all; not \
             for `nats`, where each tenant needs a provider of its own",
        )
        .for_safety()
        .shown("half of `max_bytes`"),
        Setting::number(
            "replicas",
            [1, Bound::REPLICAS.least, Bound::REPLICAS.most],
            "the number of servers that keep the bucket of `nats`; read when the bucket is made",
        )
        .of(Scope::Provider)
        .shown("as the host's own buckets"),
        Setting::bytes(
            "max_value_bytes",
            [16 << 20, 1, 1 << 30],
            "the size of a value, or of an item in a list",
        )
        .of(Scope::Provider),
        Setting::number(
            "max_items",
            [65_536, 1, 1 << 24],
            "the number of items in a list or set",
        )
        .of(Scope::Provider),
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
            "the same, under its name of the OTP era; both may be given",
        ),
        Setting::number(
            "max_in_flight",
            [64, 1, 65_536],
            "messages of one subscription that are handled concurrently; with 1, they are \
             handled in order",
        ),
        Setting::milliseconds(
            "timeout_ms",
            30_000,
            "the deadline for handling one message",
        ),
    ],
    foreign: &[
        foreign("auth_jwt", CONNECTION),
        foreign("auth_seed", CONNECTION),
        foreign("client_jwt", CONNECTION),
        foreign("client_seed", CONNECTION),
        foreign("cluster_uris", CONNECTION),
        foreign("config_b64", "write the settings as separate keys"),
        foreign("config_json", "write the settings as separate keys"),
        foreign(
            "consumers",
            "JetStream streams are not read; use subscriptions",
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

const CONNECTION: &str = "in other hosts it configures the provider's connection to NATS; here the \
                          provider uses the connection of the host";

const REDIS: &str = "in other hosts it names a Redis server; here the setting backend of the \
                     provider chooses where data is kept";

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

//! The environment variables of a host: ours, the OTP era's and those of 1.x, one row each.
//!
//! A host's settings and warnings, `exosuit up --help` and the table of guides/release.md come from this table.
//! A variable of another host without effect causes a warning that names its replacement. An unsupported one
//! that safety depends on keeps the host from starting.

use crate::nearest::nearest;

/// How a variable is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A host reads it, as a release and with `exosuit up`.
    Host,
    /// A release reads it; `exosuit up` has an argument for it.
    Release,
    /// The commands of `exosuit` read it, and hosts do not.
    Command,
    /// Only other hosts read it. It has no effect here, and causes a warning at the start.
    Elsewhere,
    /// Safety depends on it and this host does not support it: the host does not start.
    Refused,
    /// Set by scripts of ours for each other.
    Internal,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name. A name that ends with `*` stands for all names with that prefix.
    pub name: &'static str,
    /// How it is used.
    pub role: Role,
    /// The form of its text; `none` if hosts do not read it.
    pub kind: &'static str,
    /// Its meaning or, for a variable of other hosts, the replacement.
    pub doc: &'static str,
}

impl Variable {
    /// The row of a variable.
    pub fn find(name: &str) -> Option<&'static Self> {
        let exact = VARIABLES.iter().find(|row| row.name == name);
        exact.or_else(|| VARIABLES.iter().find(|row| row.covers(name)))
    }

    /// The known name that is most similar to an unknown one.
    ///
    /// ```
    /// use exosuit_core::Variable;
    ///
    /// assert!(Variable::find("EXOSUIT_LATTICE").is_some());
    /// assert_eq!(Variable::nearest("EXOSUIT_LATICE"), Some("EXOSUIT_LATTICE"));
    /// ```
    pub fn nearest(name: &str) -> Option<&'static str> {
        let shown = VARIABLES.iter().filter(|row| row.role != Role::Internal);
        nearest(name, shown.map(|row| row.name.trim_end_matches('*')))
    }

    fn covers(&self, name: &str) -> bool {
        let prefix = self.name.strip_suffix('*');
        prefix.is_some_and(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
    }
}

macro_rules! variables {
    ($($role:ident $name:literal $kind:ident: $doc:expr;)*) => {
        /// Every variable that is known.
        pub const VARIABLES: &[Variable] = &[$(Variable {
            name: $name,
            role: Role::$role,
            kind: stringify!($kind),
            doc: $doc,
        },)*];
    };
}

const POLICY: &str = "a policy service is not supported yet, and without it the host would start what \
                      the policy denies";
const REGISTRY: &str = "registries are not supported yet: name files, or built-in providers";
const TELEMETRY: &str = "a host reports by events and by `:telemetry`; it exports no OpenTelemetry";
const AUCTION: &str = "a host takes part in every auction";
const IN_PROCESS: &str = "providers run inside the host, and share its connections";

variables! {
    Host "EXOSUIT_TRUST" issuers:
        "the issuers whose actors may run: account keys (`A…`), separated by commas, or `any`, \
         which accepts every valid signature. **Required for a release**";
    Host "EXOSUIT_UNSIGNED" unsigned:
        "`allow` lets actors without a token run; only their links restrict them. `deny` by \
         default";
    Host "EXOSUIT_LINKS" links:
        "`strict` refuses modules with imports that no link could satisfy. `lenient`, the \
         default, starts them with a warning, and a call of such an import fails";
    Release "EXOSUIT_MANIFESTS" paths:
        "paths of manifests, separated by colons; none by default. If one has a mistake, nothing \
         starts";
    Host "EXOSUIT_DATA_DIR" path:
        "the [data directory](#the-data-directory). A release without it has no control socket, \
         makes a new identity at each start, and loses its data when it stops";
    Host "EXOSUIT_LABELS" labels:
        "the labels that spread requirements are matched with: `zone=home,size=large`";
    Host "EXOSUIT_CACHE_DIR" path:
        "the directory of compiled code; by default `exosuit/code` in the user's cache \
         directory. The user must own it";
    Host "EXOSUIT_LOG_LEVEL" level:
        "`debug`, `info` (the default), `notice`, `warning`, `error`, …";
    Host "EXOSUIT_HTTP_PORTS" ports:
        "for several hosts on one machine: with `8080=9080`, HTTP servers listen on 9080 if \
         links say 8080";
    Host "EXOSUIT_WADM_API" flag:
        "whether the host answers the [API of wadm](control-interface.md#the-api-of-wadm) from its \
         lattice's applications; `false` by default";
    Host "EXOSUIT_POOL_SLOTS" amount:
        "instances that can be alive at once in all hosts of the VM: the pool, one \
         of the [limits of the engine](#limits-of-the-engine)";
    Host "EXOSUIT_ACTOR_SHARE" amount: "the percentage of the pool that one actor may use at once";
    Host "EXOSUIT_MODULE_BYTES" amount: "the size of the largest module";
    Host "EXOSUIT_CORE_INSTANCES" amount: "core instances of one component";
    Host "EXOSUIT_MEMORIES" amount: "linear memories of one instance";
    Host "EXOSUIT_TABLES" amount: "tables of one instance";
    Host "EXOSUIT_LATTICE" list:
        "addresses of the NATS servers of a lattice, separated by commas, for both connections. \
         Commands of `exosuit` use that lattice, too";
    Host "EXOSUIT_LATTICE_CREDS" path: "a credentials file, for both connections";
    Host "EXOSUIT_LATTICE_CA" path: "the certificate authorities of the servers (PEM), for both \
                                     connections";
    Host "EXOSUIT_LATTICE_CERTIFICATE" path:
        "the host's own certificate (PEM), for both connections";
    Host "EXOSUIT_LATTICE_KEY" path: "the key of that certificate (PEM)";
    Host "EXOSUIT_JETSTREAM_REPLICAS" replicas:
        "the number of NATS servers that keep a new bucket; 1 if not given";
    Host "EXOSUIT_JETSTREAM_MAX_BYTES" bytes:
        "the size limit of each new bucket of the shared state in bytes, for accounts that \
         require a limit";
    Host "EXOSUIT_CLUSTER_SEED" seed:
        "the cluster's seed (`SC…`), or the path of a file with it. Hosts sign calls with it; \
         all hosts of a lattice need the same one";
    Release "RELEASE_DISTRIBUTION" text: "`none` (the default) or `name`, see below";
    Release "EXOSUIT_DIST_PORT" port:
        "the port of a release with distribution; 4370 by default. Two releases on one machine \
         need different ports";
    Command "EXOSUIT_SOCKET" path: "the control socket of the host to command";
    Host "WASMCLOUD_LATTICE" text: "the lattice's name, as in 1.x; `default` if not given";
    Host "WASMCLOUD_LATTICE_PREFIX" text: "the same, as in the OTP era";
    Host "WASMCLOUD_CLUSTER_SEED" seed: "the same as `EXOSUIT_CLUSTER_SEED`";
    Host "WASMCLOUD_CLUSTER_ISSUERS" list:
        "keys of further clusters (`C…`) whose calls are accepted, separated by commas";
    Host "WASMCLOUD_HOST_SEED" secret:
        "the host's own key (`SN…`); by default the one in the data directory";
    Host "WASMCLOUD_NATS_HOST" text: "the NATS server, for both connections, as in 1.x";
    Host "WASMCLOUD_NATS_PORT" port: "its port; 4222 if not given";
    Host "WASMCLOUD_NATS_JWT" secret: "a user's token, for both connections";
    Host "WASMCLOUD_NATS_SEED" secret: "the seed that goes with it";
    Host "WASMCLOUD_NATS_CREDS" path: "the file that holds both";
    Host "WASMCLOUD_CTL_HOST" text:
        "the NATS server for commands, events and shared state; if only one of `CTL` and `RPC` \
         is set, it serves for both";
    Host "WASMCLOUD_CTL_PORT" port: "its port";
    Host "WASMCLOUD_CTL_JWT" secret: "a user's token there";
    Host "WASMCLOUD_CTL_SEED" secret: "the seed that goes with it";
    Host "WASMCLOUD_CTL_CREDS" path: "the file that holds both";
    Host "WASMCLOUD_CTL_TLS" flag: "whether the connection requires TLS";
    Host "WASMCLOUD_CTL_TLS_FIRST" flag: "whether the connection begins with TLS";
    Host "WASMCLOUD_CTL_TLS_CA_FILE" path: "the certificate authorities of that server (PEM)";
    Host "WASMCLOUD_CTL_TOPIC_PREFIX" text:
        "the prefix of the subjects of commands; `wasmbus.ctl` if not given";
    Host "WASMCLOUD_RPC_HOST" text: "the NATS server for calls";
    Host "WASMCLOUD_RPC_PORT" port: "its port";
    Host "WASMCLOUD_RPC_JWT" secret: "a user's token there";
    Host "WASMCLOUD_RPC_SEED" secret: "the seed that goes with it";
    Host "WASMCLOUD_RPC_CREDS" path: "the file that holds both";
    Host "WASMCLOUD_RPC_TLS" flag: "whether the connection requires TLS";
    Host "WASMCLOUD_RPC_TLS_FIRST" flag: "whether the connection begins with TLS";
    Host "WASMCLOUD_RPC_TLS_CA_FILE" path: "the certificate authorities of that server (PEM)";
    Host "WASMCLOUD_RPC_TIMEOUT_MS" milliseconds:
        "the timeout of calls without a timeout of their own";
    Host "WASMCLOUD_JS_DOMAIN" text: "the JetStream domain of the shared state";
    Host "WASMCLOUD_ALLOW_FILE_LOAD" flag:
        "whether commands of the lattice may start files of the host's machine (`file://…`). \
         `false` by default; `exosuit up` allows the directories of its manifests and of \
         `--allow-files`, which `false` contradicts: it refuses both together";
    Host "WASMCLOUD_HEARTBEAT_INTERVAL" seconds: "seconds between heartbeats; 30 if not given";
    Host "WASMCLOUD_MAX_LINEAR_MEMORY" bytes:
        "bytes of linear memory that an instance may have, unless its actor says otherwise";
    Host "WASMCLOUD_LOG_LEVEL" level: "the same as `EXOSUIT_LOG_LEVEL`, which takes precedence";
    Host "WASMCLOUD_LABEL_*" label: "a label of the host, as in 1.x: `WASMCLOUD_LABEL_zone=home`";
    Elsewhere "HOST_CONFIG" none: "a host does not write its configuration to a file";
    Host "HOST_*" label:
        "a label of the host, as in the OTP era, with its name in lower case: `HOST_ZONE=home`";
    Refused "WASMCLOUD_POLICY_TOPIC" none: POLICY;
    Refused "WASMCLOUD_POLICY_CHANGES_TOPIC" none: POLICY;
    Refused "WASMCLOUD_POLICY_CHANGES_TOPIC_*" none: POLICY;
    Refused "WASMCLOUD_SECRETS_TOPIC" none: "a secrets service is not supported yet";
    Elsewhere "WASMCLOUD_POLICY_TIMEOUT" none: "a policy service is not supported yet";
    Elsewhere "WASMCLOUD_OCI_ALLOW_LATEST" none: REGISTRY;
    Elsewhere "WASMCLOUD_OCI_ALLOWED_INSECURE" none: REGISTRY;
    Elsewhere "WASMCLOUD_OCI_REGISTRY_*" none: REGISTRY;
    Elsewhere "WASMCLOUD_OCI_REGISTRY" none: REGISTRY;
    Elsewhere "OCI_REGISTRY" none: REGISTRY;
    Elsewhere "OCI_REGISTRY_*" none: REGISTRY;
    Elsewhere "BINDLE_*" none:
        "images of Bindle are not supported: name files, or built-in providers";
    Elsewhere "WASMCLOUD_TLS_CA_PATH" none:
        "set `EXOSUIT_LATTICE_CA` for connections to NATS, and `ca_file` of the provider \
         `http-client` for requests";
    Elsewhere "WASMCLOUD_PROV_RPC_*" none: IN_PROCESS;
    Elsewhere "WASMCLOUD_PROV_SHUTDOWN_DELAY_MS" none:
        "a host waits for running calls when it stops: the option `:drain_timeout`";
    Elsewhere "WASMCLOUD_CONFIG_SERVICE" none:
        "a host asks no configuration service: registries are not supported yet";
    Elsewhere "WASMCLOUD_STRUCTURED_LOGGING_ENABLED" none:
        "Elixir's logger formats the log lines";
    Elsewhere "WASMCLOUD_STRUCTURED_LOG_LEVEL" none: "set `EXOSUIT_LOG_LEVEL` instead";
    Elsewhere "WASMCLOUD_ENABLE_IPV6" none:
        "IPv6 is used wherever an address or a name leads to it";
    Elsewhere "WASMCLOUD_MAX_EXECUTION_TIME_MS" none:
        "set `limits.deadline` of an actor in its manifest";
    Elsewhere "WASMCLOUD_MAX_COMPONENT_SIZE" none:
        "set `EXOSUIT_MODULE_BYTES` instead";
    Elsewhere "WASMCLOUD_MAX_COMPONENTS" none:
        "set `EXOSUIT_POOL_SLOTS` instead";
    Elsewhere "WASMCLOUD_MAX_CORE_INSTANCES_PER_COMPONENT" none:
        "set `EXOSUIT_CORE_INSTANCES` instead";
    Elsewhere "WASMCLOUD_HTTP_ADMIN" none:
        "there are no probes over HTTP: `exosuit inventory` asks a host over its control socket";
    Elsewhere "WASMCLOUD_COMPONENT_AUCTION_ENABLED" none: AUCTION;
    Elsewhere "WASMCLOUD_PROVIDER_AUCTION_ENABLED" none: AUCTION;
    Elsewhere "WASMCLOUD_EXPERIMENTAL_FEATURES" none: "a host has no feature switches";
    Elsewhere "WASMCLOUD_OBSERVABILITY_*" none: TELEMETRY;
    Elsewhere "WASMCLOUD_TRACES_ENABLED" none: TELEMETRY;
    Elsewhere "WASMCLOUD_METRICS_ENABLED" none: TELEMETRY;
    Elsewhere "WASMCLOUD_LOGS_ENABLED" none: TELEMETRY;
    Elsewhere "OTEL_*" none: TELEMETRY;
    Elsewhere "WASMCLOUD_FLAME_GRAPH" none: "a host does not make flame graphs";
    Elsewhere "WASMCLOUD_DASHBOARD_*" none:
        "there is no dashboard: `exosuit inventory` and `exosuit events` show a host";
    Elsewhere "WASMCLOUD_HOST_KEY" none: "set `WASMCLOUD_HOST_SEED`, the host's own key";
    Elsewhere "WASMCLOUD_CTL_CREDSFILE" none: "set `WASMCLOUD_CTL_CREDS` instead";
    Elsewhere "WASMCLOUD_RPC_CREDSFILE" none: "set `WASMCLOUD_RPC_CREDS` instead";
    Elsewhere "WASMCLOUD_HOST_VERSION" none: "Exosuit is the host itself, and downloads no other";
    Elsewhere "WASMCLOUD_HOST_PATH" none: "Exosuit is the host itself, and downloads no other";
    Elsewhere "WASMCLOUD_HOST_LOG_PATH" none: "a host logs to its standard output";
    Internal "EXOSUIT_UP" none: "";
    Internal "EXOSUIT_VM" none: "";
    Internal "EXOSUIT_IEX" none: "";
    Internal "EXOSUIT_RUN" none: "";
    Internal "EXOSUIT_CONFIG" none: "";
    Internal "EXOSUIT_REMOTE_*" none: "";
    Internal "EXOSUIT_SKIP_CARGO" none: "";
    Internal "EXOSUIT_CHROOT" none: "";
    Internal "EXOSUIT_TEST_*" none: "";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn role(name: &str) -> Option<Role> {
        Variable::find(name).map(|row| row.role)
    }

    #[test]
    fn each_variable_stands_once_and_says_something() {
        let names: BTreeSet<_> = VARIABLES.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
        for row in VARIABLES.iter().filter(|row| row.role != Role::Internal) {
            assert!(!row.doc.is_empty(), "{}", row.name);
            let is_read = matches!(row.role, Role::Host | Role::Release | Role::Command);
            assert_eq!(row.kind == "none", !is_read, "{}", row.name);
        }
    }

    #[test]
    fn an_exact_name_goes_before_a_prefix() {
        assert_eq!(role("HOST_CONFIG"), Some(Role::Elsewhere));
        assert_eq!(role("HOST_ZONE"), Some(Role::Host));
        assert_eq!(role("HOST_"), None);
        assert_eq!(
            role("WASMCLOUD_POLICY_CHANGES_TOPIC_default"),
            Some(Role::Refused)
        );
        assert_eq!(role("PATH"), None);
    }

    #[test]
    fn a_slip_finds_what_was_meant() {
        assert_eq!(Variable::nearest("EXOSUIT_LATICE"), Some("EXOSUIT_LATTICE"));
        assert_eq!(
            Variable::nearest("WASMCLOUD_CTL_HSOT"),
            Some("WASMCLOUD_CTL_HOST")
        );
        assert_eq!(Variable::nearest("WASMCLOUD_SOMETHING_ELSE"), None);
    }
}

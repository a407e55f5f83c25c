//! What a client's event receiver gives: CloudEvents as the crate of its time reads them. One that it
//! cannot read it drops, and a test that awaits it fails.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

/// With this each type begins, and nothing else is told on these subjects.
const PREFIX: &str = "com.wasmcloud.lattice.";

/// The events of one host, in whichever order they are asked for.
pub(crate) struct Events<E> {
    receiver: Receiver<E>,
    host_id: String,
    names: &'static [&'static str],
    kept: VecDeque<(String, Value)>,
}

impl<E: Serialize> Events<E> {
    /// No other names than these may come.
    pub(crate) fn new(
        receiver: Receiver<E>,
        host_id: &str,
        names: &'static [&'static str],
    ) -> Self {
        Self {
            receiver,
            host_id: host_id.to_owned(),
            names,
            kept: VecDeque::new(),
        }
    }

    /// The data of the next event of this name.
    pub(crate) async fn next<D: DeserializeOwned>(&mut self, name: &str) -> D {
        let place = self.kept.iter().position(|(kept, _data)| kept == name);
        let data = match place.and_then(|place| self.kept.remove(place)) {
            Some((_name, data)) => data,
            None => crate::within(name, self.receive(name)).await,
        };
        serde_json::from_value(data.clone())
            .unwrap_or_else(|error| panic!("{name}: {error} in {data}"))
    }

    async fn receive(&mut self, name: &str) -> Value {
        loop {
            let event = self.receiver.recv().await.expect("an event");
            let (found, data) = self.open(&serde_json::to_value(event).expect("JSON"));
            if found == name {
                return data;
            }
            self.kept.push_back((found, data));
        }
    }

    /// The name and the data of what has all that an envelope needs.
    fn open(&self, event: &Value) -> (String, Value) {
        assert_eq!(event["specversion"], "1.0", "{event}");
        assert_eq!(event["source"], self.host_id, "{event}");
        assert_eq!(event["datacontenttype"], "application/json", "{event}");
        assert!(event["time"].is_string(), "{event}");
        assert_eq!(event["id"].as_str().map(str::len), Some(36), "{event}");
        let name = event["type"]
            .as_str()
            .and_then(|it| it.strip_prefix(PREFIX));
        let name = name.filter(|name| self.names.contains(name));
        let name = name.unwrap_or_else(|| panic!("no name of these times: {event}"));
        (name.to_owned(), event["data"].clone())
    }
}

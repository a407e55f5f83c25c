//! Messages that wait for a reader, up to a bound.

use std::collections::VecDeque;
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many messages, and how many bytes of them, wait for a slow reader.
const MAX_MESSAGES: usize = 4_096;
const MAX_BYTES: usize = 16 << 20;

/// A message of a lattice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The subject that it was sent to.
    pub subject: String,
    /// The subject that an answer is awaited on.
    pub reply_to: Option<String>,
    /// The bytes of the message.
    pub body: Bytes,
}

/// An item for the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// So many messages were lost here, because the reader was too slow.
    Lost(u64),
}

/// Messages for one reader. Messages that find no room are lost and counted, so that a slow reader
/// delays nobody.
#[derive(Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    lost: u64,
    closed: bool,
}

impl Mailbox {
    /// Adds a message, if there is room. A single message has room whatever its size.
    pub fn put(&self, message: Message) {
        let mut waiting = self.waiting.lock();
        let bytes = waiting.bytes + message.size();
        let count = waiting.messages.len();
        if count == MAX_MESSAGES || (count > 0 && bytes > MAX_BYTES) {
            waiting.lost += 1;
        } else {
            waiting.bytes = bytes;
            waiting.messages.push_back(message);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Ends the mailbox. The waiting messages can still be read.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_one();
    }

    /// The next message or loss. A loss comes before the messages that were sent after it. For one
    /// reader only.
    pub(crate) async fn recv(&self) -> Option<Heard> {
        loop {
            if let Poll::Ready(heard) = self.try_take() {
                return heard;
            }
            self.changed.notified().await;
        }
    }

    fn try_take(&self) -> Poll<Option<Heard>> {
        let mut waiting = self.waiting.lock();
        if waiting.lost > 0 {
            return Poll::Ready(Some(Heard::Lost(std::mem::take(&mut waiting.lost))));
        }
        match waiting.messages.pop_front() {
            Some(message) => {
                waiting.bytes -= message.size();
                Poll::Ready(Some(Heard::Message(message)))
            }
            None if waiting.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Message {
    /// The approximate memory of a message.
    fn size(&self) -> usize {
        self.subject.len() + self.reply_to.as_ref().map_or(0, String::len) + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &'static [u8]) -> Message {
        Message {
            subject: "s".to_owned(),
            reply_to: None,
            body: Bytes::from_static(body),
        }
    }

    #[tokio::test]
    async fn messages_come_in_order_until_it_is_closed() {
        let mailbox = Mailbox::default();
        mailbox.put(message(b"1"));
        mailbox.put(message(b"2"));
        mailbox.close();
        assert_eq!(mailbox.recv().await, Some(Heard::Message(message(b"1"))));
        assert_eq!(mailbox.recv().await, Some(Heard::Message(message(b"2"))));
        assert_eq!(mailbox.recv().await, None);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let mailbox = Mailbox::default();
        let (heard, ()) = tokio::join!(mailbox.recv(), async { mailbox.put(message(b"1")) });
        assert_eq!(heard, Some(Heard::Message(message(b"1"))));
        let (heard, ()) = tokio::join!(mailbox.recv(), async { mailbox.close() });
        assert_eq!(heard, None);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        let mailbox = Mailbox::default();
        for _ in 0..MAX_MESSAGES + 3 {
            mailbox.put(message(b"1"));
        }
        assert_eq!(mailbox.recv().await, Some(Heard::Lost(3)));
        for _ in 0..MAX_MESSAGES {
            assert_eq!(mailbox.recv().await, Some(Heard::Message(message(b"1"))));
        }
        mailbox.close();
        assert_eq!(mailbox.recv().await, None);
    }

    #[tokio::test]
    async fn few_large_ones_are_too_many_as_well() {
        static LARGE: [u8; MAX_BYTES] = [0; MAX_BYTES];
        let mailbox = Mailbox::default();
        mailbox.put(message(&LARGE));
        mailbox.put(message(b"1"));
        assert_eq!(mailbox.recv().await, Some(Heard::Lost(1)));
        assert_eq!(mailbox.recv().await, Some(Heard::Message(message(&LARGE))));
        mailbox.put(message(b"2"));
        assert_eq!(mailbox.recv().await, Some(Heard::Message(message(b"2"))));
    }
}

//! Orders to the process as a whole, which only its main thread can carry out.

use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// One order.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again, as SIGHUP does; the mistakes come back.
    Reload(oneshot::Sender<Result<(), String>>),
}

/// Nobody carries orders out: the proxy was not started by `waypool run`, or
/// it ends.
#[derive(Debug, thiserror::Error)]
#[error("this process takes no orders")]
pub struct NobodyThere;

/// The way from the admin console to the main thread.
#[derive(Debug)]
pub struct Orders {
    sender: mpsc::UnboundedSender<Order>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Order>>>,
}

impl Default for Orders {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Orders { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Orders {
    fn receiver(&self) -> std::sync::MutexGuard<'_, Option<mpsc::UnboundedReceiver<Order>>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the one who carries them out. `None`: somebody does already.
    pub fn take(&self) -> Option<mpsc::UnboundedReceiver<Order>> {
        self.receiver().take()
    }

    pub fn give(&self, order: Order) -> Result<(), NobodyThere> {
        if self.receiver().is_some() {
            return Err(NobodyThere);
        }
        self.sender.send(order).map_err(|_| NobodyThere)
    }
}

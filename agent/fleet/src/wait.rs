//! Staying until a device says how a document ended there.

use std::time::{Duration, Instant};

use coracle_core::desired::Desired;
use coracle_core::passage::{Numbers, Passage, passage};
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;
use serde_json::Value;

use crate::args::Deploy;
use crate::broker::Broker;
use crate::shown;

/// Follows the states of the device to an end; its status, and the failure where it was no good one.
pub(crate) async fn wait(
    broker: &mut Broker,
    topic: &str,
    desired: &Desired,
    args: &Deploy,
) -> Result<(String, Option<Failure>), Failure> {
    let began = Instant::now();
    let patience = Duration::from_secs(args.patience);
    let numbers = Numbers { scope: desired.scope.to_string(), number: desired.number, rev: desired.rev };
    let (mut seen, mut said) = (false, String::new());
    loop {
        let left = patience.checked_sub(began.elapsed()).unwrap_or_default();
        let Some((from, payload)) = broker.next(left).await? else {
            let last =
                if said.is_empty() { "it said nothing of the document".to_owned() } else { shown(&said) };
            let message = format!("the device did not come to an end within {} s: {last}", args.patience);
            return Err(Failure { exit: Exit::TryAgain, message });
        };
        let state: Value = serde_json::from_slice(&payload).unwrap_or_default();
        if from != topic {
            continue;
        }
        match passage(&state, &numbers, seen) {
            Passage::Good(status) => {
                if !args.json {
                    out::line(shown(&status));
                }
                return Ok((status, None));
            }
            Passage::Bad(status, why) => {
                let message = format!("the update ended {}: {}", shown(&status), shown(&why));
                return Ok((status, Some(Failure::unexpected(message))));
            }
            Passage::Goes(word) => {
                seen |= !word.is_empty();
                if !word.is_empty() && word != said {
                    if !args.json {
                        out::line(shown(&word));
                    }
                    said = word;
                }
            }
        }
    }
}

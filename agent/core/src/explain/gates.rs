//! What each closed gate means, and what opens it.

use super::Remark;
use super::words::span;
use crate::gate::{Hundredths, Reason};
use crate::time::Timestamp;

/// How a hold ends.
pub(super) const RELEASE: &str =
    "`coracle hold --release` for one of this board's own; whoever held a device or group releases that";

/// One closed gate.
pub(super) fn tell(reason: &Reason, now: Timestamp) -> Remark {
    match reason {
        Reason::Hold => {
            Remark::waits("its document says hold").helps("a revision of the document without hold")
        }
        Reason::HeldHere(why) => Remark::waits(format!("updates are held: {why}")).helps(RELEASE),
        Reason::NotBefore(at) => {
            Remark::waits("its document says that it is not to begin yet").helps(opens(*at, now))
        }
        Reason::Percent { allowed, bucket } => {
            let (allowed, bucket) = (Hundredths(*allowed), Hundredths(*bucket));
            let says = format!("{allowed} % of the boards have their turn, and this one comes at {bucket} %");
            Remark::waits(says).helps(format!("a revision with a percent above {bucket}, or with mode force"))
        }
        Reason::Spread(at) => {
            Remark::waits("the boards begin one after the other, and this one's turn is to come")
                .helps(opens(*at, now))
        }
        Reason::Window(at) => Remark::waits("no maintenance window is open").helps(opens(*at, now)),
        Reason::DownloadOnly => {
            Remark::waits("its document asks for the download only").helps("a revision with another mode")
        }
        Reason::Confirm => Remark::waits("a person must approve of it").helps("`coracle confirm`"),
        Reason::Disk(bytes) => {
            Remark::waits(format!("fewer than the {bytes} bytes that it needs are free on the disk"))
                .helps("`coracle prune`, or make room by hand")
        }
        Reason::Inhibit(file) => {
            Remark::waits(format!("something on this board objects, by the file inhibit.d/{file}"))
                .helps(format!("whoever put it there removes it: /run/coracle/inhibit.d/{file}"))
        }
        Reason::Lock(why) => {
            Remark::waits(format!("it is not this board's turn, says the server that hands them out: {why}"))
                .helps("it is asked again every 10 s")
        }
    }
}

fn opens(at: Timestamp, now: Timestamp) -> String {
    if at <= now {
        return format!("from {} on, by trusted time", at.rfc3339());
    }
    format!("at {}, in {}", at.rfc3339(), span(at.since(now)))
}

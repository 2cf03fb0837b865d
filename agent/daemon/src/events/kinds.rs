//! The kinds of events there are, each with its id: by it people find events in the system's log, and what to do about
//! them in its catalog.
//!
//! Invariant: an id never changes its meaning and is never used again; `systemd/usr/lib/systemd/catalog/coracle.catalog`
//! explains exactly these, in this order, which a test holds.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $id;)*
        /// All of them, by name.
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $id)),*];
    };
}

kinds! {
    /// The agent has started.
    STARTED = "60996ee6004a426980eaa5c3094778bc";
    /// It was asked to end.
    ENDED = "3c1c338bc1414f2786edce17d9ec99ff";
    /// What it was told cannot be obeyed.
    MISCONFIGURED = "a4d40e1315124ada84c70bf609ac560b";
    /// It could not start, or not go on.
    GAVE_UP = "642abae6e9b44aa89cd000ffe315e77f";
    /// The board is not provisioned yet.
    WAITS = "e7e6c5eb0ca44da197b8ab1629a09e4a";
    /// What was waited for is there.
    PROVISIONED = "ddcb78e3d1bf46158993807b406b1463";
    /// The id of the machine may be another one after a boot.
    UNSTEADY = "60f95c8bf8d745ecbea7e7a9af000819";
    /// Something the board lacks, which the agent does without.
    LACKING = "4c4207e253e345f89a6a84f01747e422";
    /// There is no OCI runtime.
    NO_RUNTIME = "097c1c3e98354aa8acf091a5ef5aede1";
    /// The record of the rollout is damaged.
    NO_JOURNAL = "51b65ee50e04454fbc38fa7c4afad6a2";
    /// A layer is fetched from its start.
    BEGUN_ANEW = "3a524cfc98a94d60b54f98eb1c66ab67";
    /// Images come slower, for what runs needs the board.
    SLOWED = "110a1bc1414f4bffa8ea317d017241c4";
    /// Images were removed to make room.
    COLLECTED = "dbcf2f3c378a4a22be234fa7e22a62a0";
    /// Room was needed, and none could be made.
    NOT_COLLECTED = "2c7a5a0aba6146e0afdf5430aecbda5c";
    /// The connection to the broker stands.
    CONNECTED = "50a4024acb24401c98eb19b6dafefd24";
    /// The files of credentials changed.
    RENEWED = "f74cb98100c04c7d8b6fee22cf47f0db";
    /// The broker takes nothing on a topic.
    NOT_TAKEN = "990e021060824abbbde0ef862e3dd42c";
    /// The connection to the broker does not stand.
    DISCONNECTED = "836d33e637364d2eaa16a1767c63578a";
    /// The broker does not let the board in.
    TURNED_AWAY = "c17d918bea5a4b0aaad3ecb7e51367c6";
    /// A document was accepted.
    ACCEPTED = "b16d6fceca114365bd0a378b8e94e6ef";
    /// A document was refused.
    REFUSED = "0dd2d601e49d46ef9b62fb3f0c367b78";
    /// One generation was signed twice, with two contents.
    EQUIVOCATION = "a331911df5f241659ee74bffa4cd9bfe";
    /// Documents were refused faster than they are told of.
    FLOOD = "0bac467bbe6f402eaada6454f1f718a1";
    /// Other keys count than before.
    KEYS_REPLACED = "a54e18a50a444ca1b879ca4a9954b874";
    /// A document that replaced keys does not hold.
    KEYS_UNUSABLE = "91b39df29310434691f5ace58b49bb98";
    /// Whose documents are believed, at the start.
    BELIEVES = "1ae6e98a42724c84b4d219f3fe2760cf";
    /// Signatures are not asked for.
    BELIEVES_ANYBODY = "368bab5e6ce640adaa6d27ca9bb21a04";
    /// There is no key to believe.
    BELIEVES_NOBODY = "d67da7058a3c452bb8bea46bef319db4";
    /// There is a policy for images.
    IMAGES_DEMANDED = "7c684d71aea9431da6a719a5e16b612c";
    /// The policy for images cannot be used.
    IMAGES_REFUSED = "75d8f07eba694fc0bd9b114efca72bc7";
    /// A command was taken.
    COMMANDED = "526cd283b3f143859e37b36b09e86047";
    /// Commands were not taken.
    COMMAND_REFUSED = "f4ca2944d17d44bfaa7bcae24a5df521";
    /// A rollout passed from one state to another.
    PASSED = "dc291902c13945a792c032b8399d23a4";
    /// The same, with an error.
    FAILED = "10a811dea1a94952aea1f607e966d87d";
    /// The good deployment could not be kept running.
    NOT_KEPT = "736a22c6319c4456a9bf6c15d5e470f3";
    /// A workload met a limit of memory or processes, and the kernel ended it.
    OUT_OF_BOUNDS = "f2e874f5609946f384ffdee4022812a6";
    /// The checks of a workload fail.
    UNHEALTHY = "669f204aa5454c97ac5d4305e969d422";
    /// They pass again.
    HEALTHY = "4b063229ac8841dea8a2249b74574cc4";
    /// Something in the store is not what was put there.
    DAMAGED = "7abb096901e743dfb71e2fe26d1d88f5";
    /// It could not be fetched again.
    NOT_REPAIRED = "4f1e03f628564ff88556ea4c168ed2c9";
    /// What was damaged is sound again.
    REPAIRED = "43622f402786440ab462994fc357d5a6";
    /// The journal of the rollout could not be written.
    NOT_WRITTEN = "892da0f456e94e54860d0b66b5636e16";
}

#[cfg(test)]
mod tests;

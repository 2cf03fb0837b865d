//! Bounds on everything that comes from outside, each with its unit and its reason.

/// Bytes of one manifest or index; the distribution specification asks registries to take 4 MiB.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Bytes of one image config; the largest seen in the wild are a few hundred KiB, and it is read whole.
pub const CONFIG_BYTES_MAX: u64 = 2 << 20;
/// Entries of one list or map in an image config: variables, labels, volumes, words of a command. Real ones have dozens.
pub const CONFIG_ENTRIES_MAX: usize = 512;
/// Annotations of one descriptor; builders write up to a dozen.
pub const ANNOTATIONS_MAX: usize = 32;
/// Foreign addresses of one descriptor, and features that a platform wants; neither is used.
pub const DESCRIPTOR_WORDS_MAX: usize = 16;
/// Layers of one image; overlayfs and the kernel's mount page give out near here.
pub const LAYERS_MAX: usize = 512;
/// Entries of one index; a fleet has a handful of platforms, attestations double them.
pub const INDEX_ENTRIES_MAX: usize = 1024;
/// How deep an index may hold an index; real registries nest once.
pub const INDEX_DEPTH_MAX: usize = 4;
/// Bytes of one desired-state envelope as it comes from the broker.
pub const DESIRED_BYTES_MAX: usize = 32 << 10;
/// How far a document's `gen` may lie above the accepted one of its scope. Milliseconds since 1970 fit as a first one,
/// and no thief of a key comes near the end of the numbers, where an honest document would have none left.
pub const GENERATION_STEP_MAX: u64 = 1 << 41;
/// Bytes of one trust envelope: 32 keys of 200 bytes, twice in base64 and JSON, and 16 signatures.
pub const TRUST_BYTES_MAX: usize = 32 << 10;
/// Trust documents that may follow the image's; a new image begins anew, and nobody changes keys so often.
pub const TRUST_CHAIN_MAX: usize = 32;
/// Bytes of one policy file for images; a fleet's has a few KiB.
pub const IMAGE_POLICY_BYTES_MAX: u64 = 64 << 10;
/// Signatures of one image that are looked at in each of the places they may be in; a handful of people sign.
pub const IMAGE_SIGNATURES_MAX: usize = 16;
/// Bytes of one signed payload or bundle; one with a certificate and an entry of a log has some 10 KiB.
pub const IMAGE_SIGNATURE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of one manifest that lists signatures, or of one page of what refers to an image: signatures, certificates and
/// entries of a log stand in annotations there.
pub const ATTACHED_BYTES_MAX: u64 = 512 << 10;
/// Pages of what refers to an image; a registry puts a hundred entries on one.
pub const REFERRERS_PAGES_MAX: usize = 8;
/// Bytes of one state document as it goes to the broker.
pub const STATE_BYTES_MAX: usize = 16 << 10;
/// Bytes of one command: an id, two times and a handful of arguments.
pub const COMMAND_BYTES_MAX: usize = 4 << 10;
/// Bytes of one line at the console: a document in base64, and what stands around it.
pub const CONSOLE_BYTES_MAX: usize = 48 << 10;
/// Bytes of one reply, as it goes to the broker or the console; that of a state document.
pub const REPLY_BYTES_MAX: usize = 16 << 10;
/// Characters of an error message in a state document.
pub const MESSAGE_CHARS_MAX: usize = 512;
/// Bytes of one path in a layer; the kernel takes 4096 with the closing NUL.
pub const ENTRY_PATH_BYTES_MAX: usize = 4095;
/// Bytes of one component of such a path; what ext4, xfs, btrfs and overlayfs take.
pub const ENTRY_NAME_BYTES_MAX: usize = 255;
/// Components of such a path; the deepest dependency trees have some dozens, and one descriptor may be open for each.
pub const ENTRY_DEPTH_MAX: usize = 256;
/// Services of one project; a board runs a handful.
pub const SERVICES_MAX: usize = 64;
/// Services of all projects of one document: each is kept in the journal, up to four times, with all its settings.
pub const DOCUMENT_SERVICES_MAX: usize = 128;
/// Entries of one list or map in a Compose document; far above what a service needs, far below what costs memory.
pub const COMPOSE_ENTRIES_MAX: usize = 256;
/// Bytes of one string in a Compose document; a whole document is not much larger.
pub const COMPOSE_TEXT_BYTES_MAX: usize = 8 << 10;
/// Bytes of one path; the kernel's `PATH_MAX` with its closing zero.
pub const PATH_BYTES_MAX: usize = 4095;
/// Milliseconds between a stop signal and `SIGKILL`: a process that ignores the signal holds up a newer document as
/// long.
pub const STOP_GRACE_MS_MAX: u64 = 3_600_000;

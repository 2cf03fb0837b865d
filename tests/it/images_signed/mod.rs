//! Images that are signed, badly signed or not signed, in the formats of cosign by openssl, in Debian's registry and in
//! one that lists referrers; held against policies by the real binary; and by skopeo where it reads the same.
//!
//! Debian builds skopeo without verification of sigstore signatures. It then still tells which requirement of which scope
//! counts, and where a signature is wanted it says that it cannot verify any; another build must come to the same verdict.

mod bed;
mod held;
mod hostile;
mod legacy;
mod policies;
mod referrers;

use bed::Bed;

#[test]
fn a_board_takes_images_that_its_policy_wants_and_no_others() {
    let mut bed = Bed::new();
    legacy::rows(&mut bed);
    legacy::keys(&mut bed);
    policies::rows(&mut bed);
    referrers::rows(&mut bed);
    bed.print();
}

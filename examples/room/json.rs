//! The JSON object of `--json`, one line on standard output.
//!
//! | field | meaning |
//! | --- | --- |
//! | `seed`, `seconds`, `loss_percent` | the run, as asked for |
//! | `packets_sent` | media packets that were sealed and sent |
//! | `relay_bytes` | bytes that the relay saw, and kept |
//! | `members` | one object a member, in the order in which they came: |
//! | `.name`, `.role` | as the room shows them |
//! | `.received`, `.opened` | media packets that reached it, and that it opened |
//! | `.refused` | an object: media packets refused, by reason |
//! | `.join_ms` | from the knock until it could open packets; for the host, to make the room |
//! | `.deaf_ms` | from the ban until nothing opened any more; null for a member that was not banned |
//! | `bit_identical` | whether all sound heard equals that of the same Opus packets never sealed |
//! | `compared` | packets whose sound was compared for that |
//! | `leaks`, `leaks_control` | canaries found in what the relay saw, and in the control run without sealing |
//! | `needles`, `chance_hits` | canaries looked for, and hits that random bytes would give |
//! | `banned_opened_after_ban` | packets sealed after the ban that the banned member opened |
//! | `deaf_ms` | as for the banned member; null if it never fell deaf |
//! | `reported_packets` | packets that the report of a listener proves to be the speaker's; null if it proves nothing |
//! | `broken` | sentences for the promises that did not hold; empty after a good run |

use serde_json::{Value, json};

use crate::report::{Member, Report, ms};

/// The whole object.
pub fn object(report: &Report) -> Value {
    json!({
        "seed": report.seed,
        "seconds": report.seconds,
        "loss_percent": report.loss_percent,
        "packets_sent": report.packets_sent,
        "relay_bytes": report.relay_bytes,
        "members": report.members.iter().map(member).collect::<Vec<_>>(),
        "bit_identical": report.bit_identical,
        "compared": report.compared,
        "leaks": report.audit.leaks,
        "leaks_control": report.audit.leaks_control,
        "needles": report.audit.needles,
        "chance_hits": report.audit.chance_hits,
        "banned_opened_after_ban": report.ban.opened_after,
        "deaf_ms": report.ban.deaf.map(ms),
        "reported_packets": report.filed.proved.as_ref().ok(),
        "broken": report.broken(),
    })
}

fn member(member: &Member) -> Value {
    json!({
        "name": member.name,
        "role": member.role,
        "received": member.received,
        "opened": member.opened,
        "refused": member.refused,
        "join_ms": ms(member.join),
        "deaf_ms": member.deaf.map(ms),
    })
}

//! A network of its own for a part of a test, and a capture of all that happens in it.
//!
//! The test binary is started again in there, and runs one test, which is ignored otherwise; the
//! part stands in SOTTOVOCE_PART.

use std::{env, fs, process::Command};

/// Captures whatever leaves any interface, as long as the command in its arguments runs: what stays
/// on the loopback interface into one file, everything else into another.
const CAPTURE: &str = r#"
import socket, struct, subprocess, sys, threading, time
inside, outside = (open(path, "wb") for path in sys.argv[1:3])
for out in inside, outside:
    out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1))
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
tap.settimeout(0.1)
done = threading.Event()
def capture():
    idle = False
    while not (done.is_set() and idle):
        try:
            data, (name, _, kind, _, _) = tap.recvfrom(1 << 17)
        except socket.timeout:
            idle = True
            continue
        idle = False
        if kind == socket.PACKET_OUTGOING:
            now = time.time_ns() // 1000
            out = inside if name == "lo" else outside
            out.write(struct.pack("<IIII", now // 1000000, now % 1000000, len(data), len(data)) + data)
thread = threading.Thread(target=capture)
thread.start()
status = subprocess.run(sys.argv[3:]).returncode
done.set()
thread.join()
inside.close()
outside.close()
sys.exit(status)
"#;

/// A network in which everything but the relay, on loopback, is behind a router that answers
/// nothing and hears all.
const NETWORK: &str = "set -e
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 || true
ip link set lo up
ip link add out0 type veth peer name out1
ip addr add 198.18.0.1/24 dev out0
ip link set out0 up
ip link set out1 up
ip neigh add 198.18.0.2 lladdr 02:00:00:00:00:02 dev out0
ip route add default via 198.18.0.2
exec \"$@\"";

/// Has the test called `name` of this binary play `part` in such a network. What was captured
/// inside and outside; `None` if it cannot be had here.
pub fn captured(name: &str, part: &str) -> Option<[Vec<u8>; 2]> {
    let skip = |why: &str| {
        println!("\n*** skipped: {why}\n*** No real traffic was captured.\n");
        None
    };
    let probe =
        Command::new("unshare").args(["-rn", "sh", "-c", NETWORK, "sh", "python3", "--version"]).output();
    match probe {
        Err(error) => return skip(&format!("no unshare: {error}")),
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return skip(&format!("no network of its own here: {said}"));
        }
        Ok(_) => {}
    }
    let file = |name| {
        let name = format!("sottovoce-{part}-{}-{name}.pcap", std::process::id());
        env::temp_dir().join(name)
    };
    let [inside, outside] = ["inside", "outside"].map(file);
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", NETWORK, "sh", "python3", "-c", CAPTURE])
        .args([&inside, &outside])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("SOTTOVOCE_PART", part)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    Some([inside, outside].map(|path| {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        bytes
    }))
}

//! A limit on a rate, with a burst.

use std::time::{Duration, Instant};

/// Up to when everything that was spent is paid for: time pays, and the debt is bounded by the
/// burst.
pub(super) struct Bucket {
    paid_until: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { paid_until: now }
    }

    /// Spends in any case, and tells how long to wait until the debt is within the burst.
    pub(super) fn spend(&mut self, now: Instant, price: Duration, burst: Duration) -> Duration {
        self.paid_until = self.paid_until.max(now) + price;
        self.debt(now).saturating_sub(burst)
    }

    /// Spends only if the debt stays within the burst.
    pub(super) fn afford(&mut self, now: Instant, price: Duration, burst: Duration) -> bool {
        let affordable = self.debt(now) + price <= burst;
        if affordable {
            self.spend(now, price, burst);
        }
        affordable
    }

    /// How long it takes to pay for what was spent.
    pub(super) fn debt(&self, now: Instant) -> Duration {
        self.paid_until.saturating_duration_since(now)
    }
}

/// How long `cost` takes at `rate` a second.
pub(super) fn price(cost: usize, rate: u32) -> Duration {
    let cost = u32::try_from(cost).unwrap_or(u32::MAX);
    Duration::from_secs(cost.into()) / rate.max(1)
}

/// A member may send this much of its rate at once: at the default 126 messages of 16 KiB, which is
/// two welcomes with the largest tree.
pub(super) const CONTROL_BURST: Duration = Duration::from_secs(8);
/// As above, for packets.
pub(super) const MEDIA_BURST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_passes_then_the_rate_and_idle_time_earns_no_more_than_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let passed = |bucket: &mut Bucket, now| {
            (0..100).filter(|_| bucket.afford(now, price(1, 10), MEDIA_BURST)).count()
        };
        assert_eq!(passed(&mut bucket, start), 10);
        assert_eq!(passed(&mut bucket, start + Duration::from_millis(300)), 3);
        assert_eq!(passed(&mut bucket, start + Duration::from_secs(3_600)), 10);
    }

    #[test]
    fn what_is_spent_above_the_burst_is_waited_for() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        assert_eq!(bucket.spend(now, price(8_000, 1_000), CONTROL_BURST), Duration::ZERO);
        assert_eq!(bucket.spend(now, price(500, 1_000), CONTROL_BURST), Duration::from_millis(500));
        assert!(bucket.spend(now, price(usize::MAX, 0), CONTROL_BURST) > Duration::from_secs(1_000_000));
    }
}

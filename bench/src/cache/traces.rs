//! Sequences of keys that are read.

/// Reads of one trace.
pub(super) const READS: usize = 1_000_000;

/// Distinct keys of those that draw them.
const KEYS: u32 = 200_000;

/// xorshift64* (Vigna 2014), so that every run has the same traces.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(42)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In `0.0..1.0`.
    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Ranks by their weights, by inversion of the cumulated ones.
struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    fn new(skew: f64) -> Self {
        let mut sum = 0.0;
        let add = |rank: u32| {
            sum += f64::from(rank).powf(-skew);
            sum
        };
        Self { cumulated: (1..=KEYS).map(add).collect() }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let at = random.share() * self.cumulated.last().copied().unwrap_or(0.0);
        self.cumulated.partition_point(|sum| *sum < at) as u64
    }
}

/// A name, and the keys. `entries` is how many the cache can hold.
pub(super) fn all(entries: u64) -> Vec<(&'static str, Vec<u64>)> {
    let mut random = Random::new();
    let mut zipf = |skew| {
        let zipf = Zipf::new(skew);
        (0..READS).map(|_| zipf.draw(&mut random)).collect::<Vec<_>>()
    };
    let [flat, usual, steep] = [zipf(0.8), zipf(0.99), zipf(1.2)];
    let reads = READS as u64;
    // Others are read once, between those that are read often.
    let beside = |others: &dyn Fn(u64) -> u64| {
        let key = |(n, key): (u64, &u64)| if n % 3 == 2 { (1 << 40) + others(n / 3) } else { *key };
        (0..reads).zip(&usual).map(key).collect::<Vec<_>>()
    };
    let scanned = beside(&|n| n);
    // A loop that does not fit, which is what LRU is worst at.
    let looped = beside(&|n| n % (entries * 2));
    let alone: Vec<u64> = (0..reads).map(|n| n % (entries * 3 / 2)).collect();
    let first = reads / 5;
    let after: Vec<u64> =
        (0..first).map(|n| (1 << 40) + n).chain((first..reads).map(|n| n % (entries * 9 / 10))).collect();
    let hardly: Vec<u64> = (0..reads).map(|n| n % (entries * 11 / 10)).collect();
    // New keys come, and the newest are read most.
    let recent: Vec<u64> =
        (0..reads).zip(&usual).map(|(n, back)| (n / 8 + u64::from(KEYS)).saturating_sub(*back)).collect();
    // What is popular changes altogether ten times.
    let shifting =
        (0..reads).zip(&usual).map(|(n, key)| key + (n / (reads / 10)) * u64::from(KEYS)).collect();
    // A tenth each, so that the policy must change its mind.
    let parts = [&usual, &alone, &recent, &scanned, &flat, &looped, &steep, &alone, &recent, &usual];
    let mixed = parts.iter().enumerate();
    let mixed =
        mixed.flat_map(|(n, part)| part[n * READS / 10..(n + 1) * READS / 10].iter().copied()).collect();
    vec![
        ("Zipf 0.8", flat),
        ("Zipf 0.99", usual.clone()),
        ("Zipf 1.2", steep),
        ("Zipf 0.99, every third read a key seen once", scanned),
        ("Zipf 0.99, every third read in a loop of twice the capacity", looped),
        ("a loop of 1.5 times the capacity", alone),
        ("a loop of 1.1 times the capacity", hardly),
        ("a loop that fits, after keys that never come again", after),
        ("the newest are read most", recent),
        ("popularity changes ten times", shifting),
        ("all of these in turn", mixed),
    ]
}

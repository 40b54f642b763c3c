//! The scenarios: those that must hold, each with its number of states, and each rule switched off, which must fail.

use super::*;

pub(super) fn scenarios() -> Vec<Scenario> {
    use Control::{Clear, State};
    const ONCE: &[Control] = &[State(3)];
    const TWICE: &[Control] = &[State(3), State(1), State(2), State(3)];
    const STOP: &[Control] = &[State(3), State(1)];
    const CLEAR: &[Control] = &[Clear, State(3)];
    const CLEAR2: &[Control] = &[State(3), Clear, State(1), State(2), State(3)];
    let b = Scenario { name: "", n: 1, puts: &[1, 1], cons: 2, hears: 1, ctl: ONCE, deaths: 0, alo: false, lossy: false, flaw: None, floor: 0 };
    vec![
        Scenario { name: "2x2 n=1 one stream, no deaths", floor: 72_935, hears: 2, ..b.clone() },
        Scenario { name: "2x2 n=2 one stream, no deaths", floor: 249_325, n: 2, puts: &[2, 1], hears: 2, ..b.clone() },
        Scenario { name: "2x2 n=1 restart, no deaths", floor: 2_543_199, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "2x2 n=2 restart, no deaths", floor: 2_270_742, n: 2, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 restart, 2+1 puts", floor: 21_125_925, puts: &[2, 1], ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "2x2 n=1 3 then 1 (stopped from the end)", floor: 168_923, ctl: STOP, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 lossy restart", floor: 32_277_248, puts: &[2, 1], lossy: true, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "2x2 n=2 lossy", floor: 2_096_139, n: 2, puts: &[2, 2], lossy: true, hears: 2, ..b.clone() },
        Scenario { name: "2x2 n=1 clear", floor: 3_543_633, puts: &[2, 1], ctl: CLEAR, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 clear under the end, restart", floor: 8_187_231, ctl: CLEAR2, hears: 2, ..b.clone() },
        Scenario { name: "2x2 n=1 alo one stream, 1 death", floor: 1_266_075, alo: true, deaths: 1, ..b.clone() },
        Scenario { name: "2x2 n=1 alo one stream, 2 deaths", floor: 1_936_923, alo: true, deaths: 2, ..b.clone() },
        Scenario { name: "2x2 n=2 alo one stream, 2 deaths", floor: 1_684_440, n: 2, alo: true, deaths: 2, ..b.clone() },
        Scenario { name: "1x2 n=1 alo restart, 1 death, two Stopped each", floor: 1_942_529, puts: &[1], alo: true, deaths: 1, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "1x2 n=1 amo restart, 1 death, two Stopped each", floor: 977_406, puts: &[1], deaths: 1, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "1x2 n=1 amo restart, 2 deaths, two Stopped each", floor: 1_178_762, puts: &[1], deaths: 2, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "heavy 1x2 n=1 alo restart, 2 deaths", floor: 11_378_927, puts: &[2], alo: true, deaths: 2, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 amo restart, 1 death", deaths: 1, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 alo restart, 1 death, one Stopped each", floor: 16_754_073, alo: true, deaths: 1, ctl: TWICE, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 alo restart, 2 deaths, one Stopped each", floor: 23_933_421, alo: true, deaths: 2, ctl: TWICE, ..b.clone() },
        Scenario { name: "heavy 2x2 n=2 alo restart, 2 deaths, one Stopped each", floor: 20_474_446, n: 2, alo: true, deaths: 2, ctl: TWICE, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 amo restart, 2 deaths, one Stopped each", floor: 11_592_203, deaths: 2, ctl: TWICE, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 alo restart, 1 death", alo: true, deaths: 1, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 alo restart, 2 deaths", alo: true, deaths: 2, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=2 alo restart, 2 deaths", n: 2, alo: true, deaths: 2, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "heavy 2x2 n=1 amo restart, 2 deaths", deaths: 2, ctl: TWICE, hears: 2, ..b.clone() },
        Scenario { name: "flaw today", flaw: Some(Flaw::Today), ..b.clone() },
        Scenario { name: "flaw state first", flaw: Some(Flaw::StateFirst), ..b.clone() },
        Scenario { name: "flaw actual kept", flaw: Some(Flaw::ActualKept), ..b.clone() },
        Scenario { name: "flaw touch", hears: 2, flaw: Some(Flaw::Touch), ..b.clone() },
        Scenario { name: "flaw seal bit, one stream (is well)", hears: 2, flaw: Some(Flaw::SealBit), ..b.clone() },
        Scenario { name: "flaw seal bit, restart", ctl: TWICE, hears: 2, flaw: Some(Flaw::SealBit), ..b.clone() },
        Scenario { name: "flaw no scan", alo: true, flaw: Some(Flaw::NoScan), ..b.clone() },
        Scenario { name: "flaw scan early", alo: true, flaw: Some(Flaw::ScanEarly), ..b.clone() },
        Scenario { name: "flaw scan sees hold alone", alo: true, flaw: Some(Flaw::ScanHold), ..b.clone() },
        Scenario { name: "flaw skip uncounted", alo: true, deaths: 1, flaw: Some(Flaw::SkipUncounted), ..b.clone() },
        Scenario { name: "flaw late answer", flaw: Some(Flaw::LateAnswer), ..b.clone() },
    ]
}

//! Five days that an auditor asks about: three environments, a miner for twelve hours over the night in
//! which the clock is set back, and a reporter that was down for ten.

mod answers;
mod bundle;
mod fixture;
mod page;
mod since;

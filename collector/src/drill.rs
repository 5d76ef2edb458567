//! 訓練: what is exercised. Scenarios are data files (`data/drills`, or files of one's own); nothing here runs one.

pub mod scenario;

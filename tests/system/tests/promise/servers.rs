//! What a run is made of, and the runs: a fault each.

mod ears;
mod instance;
mod observed;
mod rows;
mod run;
mod site;
mod workload;

mod bounded;
mod broken;
mod bus;
mod capture;
mod redis;
mod tables;

mod audit;
mod l2;

mod l2;

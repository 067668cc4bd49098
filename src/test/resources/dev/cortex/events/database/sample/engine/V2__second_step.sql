create table cortex.second_step (n integer);

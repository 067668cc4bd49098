create table cortex.broken (n nonsense);

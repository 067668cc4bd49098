create table fleet.workers (name text);

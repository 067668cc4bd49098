alter table public.busy add note text;

-- Grafana's own user of this database: it reads the schema public, and nothing else.
-- The role may be there already, as one server has several databases; its password is set by the run.
do $$
begin
    perform pg_advisory_xact_lock(hashtext('grafana_reader'));
    if not exists (select from pg_roles where rolname = 'grafana_reader') then
        create role grafana_reader login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    end if;
end
$$;

-- A dashboard with 20 panels asks at once; a query that takes longer than a person waits is a mistake.
alter role grafana_reader connection limit 15;
alter role grafana_reader set statement_timeout = '30s';
alter role grafana_reader set idle_in_transaction_session_timeout = '60s';
alter role grafana_reader set default_transaction_read_only = on;
alter role grafana_reader set temp_file_limit = '1GB';

grant usage on schema public to grafana_reader;
grant select on all tables in schema public to grafana_reader;

-- And what the owner of the database will make.
do $$
declare
    owner_name name := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
    execute format('grant connect on database %I to grafana_reader', current_database());
    execute format('alter default privileges for role %I in schema public grant select on tables to grafana_reader', owner_name);
end
$$;

-- Airflow's own database beside the state database.
CREATE DATABASE airflow OWNER gov;

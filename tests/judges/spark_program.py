"""What Apache Spark does with the catalog; runs in the judges' own environment.

``python spark_program.py URI TOKEN NAMESPACE WAREHOUSE`` prints one JSON object a line:
``{"name": ..., "rows": [...]}`` or ``{"name": ..., "error": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from pyspark.sql import SparkSession

HTTP_CLIENT = "org/apache/iceberg/shaded/org/apache/hc/"


def jars() -> str:
    """Iceberg's runtime for Spark 3.5 and Scala 2.12: ``LAKEHOLD_JUDGES_JAR``, or the package's.

    The package's jar (1.10.2) has been stripped of the HTTP client that the REST catalog needs;
    with such a jar Spark cannot reach any REST catalog, and the program says so.
    """
    names = [os.environ.get("LAKEHOLD_JUDGES_JAR", "")]
    if not names[0]:
        found = find_spec("snowpark_connect_deps_iceberg")
        assert found is not None and found.submodule_search_locations
        folder = Path(next(iter(found.submodule_search_locations)))
        names = [str(jar) for jar in folder.rglob("iceberg-spark-runtime-3.5_2.12-*.jar")]
        assert names, f"no Iceberg runtime below {folder}"
    with zipfile.ZipFile(names[0]) as jar:
        if not any(name.startswith(HTTP_CLIENT) for name in jar.namelist()):
            sys.exit(
                f"{names[0]} lacks Iceberg's HTTP client ({HTTP_CLIENT}), so that Spark cannot "
                "reach a REST catalog with it; set LAKEHOLD_JUDGES_JAR to Apache Iceberg's own "
                "iceberg-spark-runtime-3.5_2.12"
            )
    return names[0]


def session(uri: str, token: str) -> SparkSession:
    extensions = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
    return (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", jars())
        .config("spark.sql.extensions", extensions)
        .config("spark.sql.catalog.lake", "org.apache.iceberg.spark.SparkCatalog")
        .config("spark.sql.catalog.lake.type", "rest")
        .config("spark.sql.catalog.lake.uri", uri)
        .config("spark.sql.catalog.lake.token", token)
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )


STATEMENTS = (
    (
        "create",
        "CREATE TABLE {t} (id BIGINT, name STRING, at TIMESTAMP) USING iceberg "
        "PARTITIONED BY (days(at))",
    ),
    (
        "insert",
        "INSERT INTO {t} VALUES (1, 'a', TIMESTAMP '2020-01-01 00:00:00'), "
        "(2, 'b', TIMESTAMP '2020-01-02 00:00:00'), (3, 'c', TIMESTAMP '2020-01-02 00:00:00')",
    ),
    ("select", "SELECT id, name FROM {t} ORDER BY id"),
    ("update", "UPDATE {t} SET name = 'bb' WHERE id = 2"),
    ("delete", "DELETE FROM {t} WHERE id = 1"),
    (
        "merge",
        "MERGE INTO {t} t USING (SELECT 3 AS id, 'cc' AS name UNION ALL SELECT 4, 'd') s "
        "ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name "
        "WHEN NOT MATCHED THEN INSERT (id, name, at) VALUES (s.id, s.name, current_timestamp())",
    ),
    ("alter", "ALTER TABLE {t} ADD COLUMN more INT"),
    ("evolve", "ALTER TABLE {t} ADD PARTITION FIELD bucket(4, id)"),
    ("after", "SELECT id, name, more FROM {t} ORDER BY id"),
    ("ctas", "CREATE TABLE {n}.copy USING iceberg AS SELECT id FROM {t}"),
    ("replace", "CREATE OR REPLACE TABLE {n}.copy USING iceberg AS SELECT id + 1 AS id FROM {t}"),
    ("replaced", "SELECT id FROM {n}.copy ORDER BY id"),
    ("view", "CREATE VIEW {n}.v AS SELECT id FROM {t} WHERE id > 2"),
    ("viewed", "SELECT * FROM {n}.v ORDER BY id"),
    ("snapshots", "SELECT count(*) > 3 FROM {t}.snapshots"),
    ("sql", "SELECT id, name FROM {n}.from_sql ORDER BY id"),
    ("rewrite", "CALL lake.system.rewrite_data_files('{n}.t')"),
    ("rename", "ALTER TABLE {n}.copy RENAME TO {s}.moved"),
    ("tables", "SHOW TABLES IN {n}"),
    ("drop", "DROP TABLE {n}.moved PURGE"),
)


def main() -> None:
    uri, token, namespace = sys.argv[1:4]
    spark = session(uri, token)
    for name, text in STATEMENTS:
        statement = text.format(t=f"lake.{namespace}.t", n=f"lake.{namespace}", s=namespace)
        try:
            rows = [list(row) for row in spark.sql(statement).collect()]
            print(json.dumps({"name": name, "rows": rows}, default=str), flush=True)
        except Exception as error:
            message = str(error)[:600]
            print(json.dumps({"name": name, "error": message}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()

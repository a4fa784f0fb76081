// The job of glue/etl.py in Scala, with the same arguments, steps, results and SQL (glue/sql). A change of one changes the other.
// docs/lake.md defines the terms.
//
// A Glue Scala job is one script whose `GlueApp` has a `main`:
// https://docs.aws.amazon.com/glue/latest/dg/glue-etl-scala-example.html

import java.io.{ByteArrayInputStream, IOException}
import java.nio.charset.StandardCharsets.{ISO_8859_1, UTF_8}
import java.time.{Duration, Instant, LocalDate}
import java.util.{Base64, UUID}
import java.util.zip.GZIPInputStream

import scala.collection.immutable.ListMap
import scala.util.Try
import scala.util.matching.Regex

import com.fasterxml.jackson.databind.{DeserializationFeature, ObjectMapper}
import com.fasterxml.jackson.module.scala.DefaultScalaModule
import org.apache.hadoop.fs.{FileSystem, Path}
import org.apache.spark.SparkContext
import org.apache.spark.sql.{DataFrame, Observation, Row, SparkSession}
import org.apache.spark.sql.functions._
import org.apache.spark.sql.types._

object GlueApp {
  /** Results depend on these, so the job sets them itself. The caller sets everything else. */
  private val Settings = Map(
    "spark.sql.session.timeZone" -> "UTC",
    "spark.sql.ansi.enabled" -> "false",
    // This rule removes parts of a plan that have no rows, together with what is counted there.
    "spark.sql.adaptive.optimizer.excludedRules" -> "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation",
    // Each task writes one file per event day, so the number of tasks is the number of files. Coalescing would change it.
    "spark.sql.adaptive.coalescePartitions.enabled" -> "false"
  )
  private val Fates = Seq("kept", "repeats", "rejected", "late")
  def main(sysArgs: Array[String]): Unit = {
    val arguments = Arguments.parse(sysArgs)
    val name = s"etl ${arguments.table} ${arguments.day}"
    val spark = SparkSession.builder().appName(name).enableHiveSupport().getOrCreate()
    initializeGlue(spark.sparkContext)
    Settings.foreach { case (name, value) => spark.conf.set(name, value) }
    val result = ListMap[String, Any]("table" -> arguments.table, "day" -> arguments.day.toString) ++ run(spark, arguments)
    System.out.println(Json.mapper.writeValueAsString(result))
  }

  /** Glue publishes metrics of a job that creates a GlueContext. Outside of Glue the class is missing.
    * https://docs.aws.amazon.com/glue/latest/dg/monitor-profile-glue-job-cloudwatch-metrics.html
    */
  private def initializeGlue(context: SparkContext): Unit =
    try Class.forName("com.amazonaws.services.glue.GlueContext").getConstructor(classOf[SparkContext]).newInstance(context)
    catch { case _: ClassNotFoundException => () }

  /** Writes what arrived on the day; returns the ledger row, `balanced`, and `nulled`: the invalid optional values by field. */
  def run(spark: SparkSession, arguments: Arguments): ListMap[String, Any] = {
    val startedAt = Instant.now()
    val files = new Files(spark)
    val catalog = new Catalog(spark, files, arguments.database)
    val table = catalog.eventTable(arguments.table)
    val day = new Day(spark, files, arguments, table)
    val arrived = new ArrivalDay(catalog, table.name, arguments.day)
    def ofTheDay(name: String) = new Partition(catalog, name, ("table_name" -> table.name) +: Days.keys(arguments.day))
    val (rejected, books) = (ofTheDay("rejected"), ofTheDay("ledger"))
    // Before raw, so that lines taken back in the meantime are counted twice rather than never.
    val undelivered = day.countUndelivered()
    val hours = day.hours()
    if (hours.isEmpty && arrived.eventDays().exists(arrived.partition(_).hasRows))
      throw new IllegalStateException(
        s"${day.raw} holds no lines of ${arguments.day}, but the lake does: is raw expired? Refusing to empty the lake's partitions"
      )
    val runPath = s"${arrived.folder}/${Partition.newRun()}"
    val counts = day.fill(hours, runPath)

    // Until the new row is published the day has none, so that nobody takes an incomplete day's books for closed.
    val oldBooks = books.drop()
    arrived.publish(runPath)
    day.publishRejected(rejected, s"$runPath/event_day=rejected", counts("rejected"))
    Seq("open", "rejected").foreach(aside => files.delete(s"$runPath/event_day=$aside"))
    val stored = spark.table(s"${arguments.database}.${table.name}").where(s"arrived = '${arguments.day}'").count()
    val row = ListMap(("raw" +: Fates).map(name => name -> counts(name)): _*) ++
      Seq("stored" -> stored, "undelivered" -> undelivered)
    val written = row.map { case (name, count) => s"CAST($count AS bigint) AS $name" } ++
      Seq("started_at" -> startedAt, "decided_at" -> Instant.now()).map { case (name, time) => s"TIMESTAMP '$time' AS $name" }
    val newBooks = books.write(spark.sql(s"SELECT ${written.mkString(", ")}"), arguments.compression)
    books.publish(newBooks)
    oldBooks.foreach(files.deleteReplaced(_, newBooks))
    val balanced = row("raw") == Fates.map(row).sum && row("kept") == stored && undelivered == 0
    val nulled = table.optional.map(name => name -> counts(s"nulled $name")).filter(_._2 > 0)
    row ++ Seq("balanced" -> balanced, "nulled" -> ListMap(nulled: _*))
  }
}

/** The job's arguments. `day` is the arrival day. */
case class Arguments(
    table: String, day: LocalDate, database: String, dataPath: String, lookbackDays: Int, sql: String, compression: String, fileMb: Int
)

object Arguments {
  private val Required = Seq("table", "day", "database", "data_path", "lookback_days", "sql")
  private val Compressions = "zstd, zlib, snappy"
  /** Reads `--name value` pairs, and ignores Glue's own. Throws `IllegalArgumentException`. */
  def parse(arguments: Array[String]): Arguments = {
    def isName(text: String) = text.startsWith("--")
    val given = arguments.sliding(2).collect { case Array(name, value) if isName(name) && !isName(value) => name.drop(2) -> value }.toMap
    val missing = Required.filterNot(given.contains)
    check(missing.isEmpty, missing.map("--" + _).mkString("the following arguments are required: ", ", ", ""))
    Arguments(
      table = given("table"),
      day = LocalDate.parse(checked("day", given("day"), "a day, YYYY-MM-DD")(day => Try(LocalDate.parse(day)).isSuccess)),
      database = given("database"),
      dataPath = given("data_path").replaceAll("/+$", ""),
      lookbackDays = wholeNumber("lookback_days", given("lookback_days"), least = 0),
      sql = given("sql").replaceAll("/+$", ""),
      compression = checked("compression", given.getOrElse("compression", "zstd"), s"one of $Compressions")(
        Compressions.split(", ").contains
      ),
      fileMb = wholeNumber("file_mb", given.getOrElse("file_mb", "64"), least = 1)
    )
  }

  private def checked(name: String, value: String, allowed: String)(isGood: String => Boolean): String = {
    check(isGood(value), s"--$name is $value: it must be $allowed")
    value
  }

  private def wholeNumber(name: String, value: String, least: Int): Int =
    checked(name, value, s"a whole number, $least or more")(value => value.matches("[0-9]{1,9}") && value.toInt >= least).toInt

  def check(condition: Boolean, message: => String): Unit = if (!condition) throw new IllegalArgumentException(message)
}

/** The raw lines of a table and arrival day, on their way to a run's folder. */
class Day(spark: SparkSession, files: Files, arguments: Arguments, table: EventTable) {
  private val day = arguments.day
  /** Bytes of the lake per byte of gzipped raw lines, about. */
  private val storedOfRaw = 2.0 / 3
  val raw: String = s"${arguments.dataPath}/${table.raw}"
  /** The folders of the day's hours, with the bytes of their objects. */
  def hours(): Seq[(String, Long)] = {
    val folder = s"$raw/${Days.path(Days.keys(day))}"
    val names = files.list(folder).keys.filter(_.matches("hour=([01][0-9]|2[0-3])")).toSeq.sorted
    names.map(name => s"$folder/$name" -> files.rawBytes(s"$folder/$name")).filter(_._2 > 0)
  }
  /** The lines in the error objects of the day. A record or an object that can't be read counts as one. */
  def countUndelivered(): Long = {
    val path = s"${arguments.dataPath}/raw-errors/${table.name}/processing-failed/${Days.path(Days.keys(day))}"
    if (files.list(path).isEmpty) return 0
    val objects = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(path)
    objects.select("content").rdd.map { case Row(content: Array[Byte]) => ErrorObject.countEvents(content) }.fold(0L)(_ + _)
  }
  /** Writes the run's files; returns the number of lines by fate, and `nulled NAME` for each optional field. */
  def fill(hours: Seq[(String, Long)], run: String): Map[String, Long] = {
    if (hours.isEmpty) return Map.empty[String, Long].withDefaultValue(0L)
    val tasks = tasksFor(math.ceil(hours.map(_._2).sum * storedOfRaw / (arguments.fileMb.toLong << 20)))
    spark.conf.set("spark.sql.maxConcurrentOutputFileWriters", (arguments.lookbackDays + 8).toString)
    readLines(hours.map(_._1)).createOrReplaceTempView("lines")
    spark.table(s"${arguments.database}.${table.name}").createOrReplaceTempView("lake")
    val (events, read) = observe(
      sql("events", "first_day" -> day.minusDays(arguments.lookbackDays.toLong).toString),
      Seq("raw" -> "count(1)", "rejected" -> "count_if(fate = 'rejected')", "late" -> "count_if(fate = 'late')") ++
        table.optional.map(name => s"nulled $name" -> s"count_if(`nulled $name`)")
    )
    events.where("fate IS NULL OR fate <> 'late'").createOrReplaceTempView("events")
    val (first, oldest) = write(sql("fates", "open_before" -> day.toString), run, tasks)
    val counted = longs(read.get)
    val second = oldest.map { oldest =>
      spark.read.orc(s"$run/event_day=open").createOrReplaceTempView("open")
      sql("open", "oldest" -> oldest.minusDays(1).toString).createOrReplaceTempView("events")
      val share = first("open").toDouble / math.max(1L, counted("raw"))
      write(sql("fates", "open_before" -> ""), run, tasksFor(tasks * share))._1
    }
    counted ++ Seq("kept", "repeats").map(fate => fate -> (first(fate) + second.fold(0L)(_(fate))))
  }

  private def tasksFor(share: Double): Int = math.max(1, math.rint(share).toInt)
  private def longs(counted: Map[String, Any]): Map[String, Long] = counted.collect { case (name, count: Long) => name -> count }
  /** The values that all statements of glue/sql share. */
  private lazy val sharedValues = Json.mapper.readValue(files.read(s"${arguments.sql}/values.json"), classOf[Map[String, String]])
  /** The result of a statement of glue/sql. */
  private def sql(name: String, values: (String, String)*): DataFrame = {
    val text = files.read(s"${arguments.sql}/$name.sql")
    spark.sql(table.render(text, sharedValues ++ values ++ Map("day" -> day.toString, "day_before" -> day.minusDays(1).toString)))
  }
  /** The frame, and counts that Spark makes while it is written. */
  private def observe(frame: DataFrame, counts: Seq[(String, String)]): (DataFrame, Observation) = {
    val observation = Observation()
    val columns = counts.map { case (name, count) => expr(count).as(name) }
    (frame.observe(observation, columns.head, columns.tail: _*), observation)
  }
  /** Adds the rows to the run's folders, one for each event day, and one each for those that are open and rejected. Returns how
    * many had which fate, and the earliest event day of those that are open.
    */
  private def write(decided: DataFrame, run: String, tasks: Int): (Map[String, Long], Option[LocalDate]) = {
    val fates = Seq("kept" -> "kept", "repeats" -> "repeat", "open" -> "open")
    val counts = fates.map { case (name, fate) => name -> s"count_if(fate = '$fate')" }
    val (rows, counted) = observe(decided, counts :+ ("oldest" -> "min(CASE WHEN fate = 'open' THEN dated END)"))
    val sorted = rows.where("fate <> 'repeat'").drop("fate", "dated").sortWithinPartitions(table.sort.map(col): _*)
    spark.conf.set("spark.sql.shuffle.partitions", tasks.toString)
    val writer = sorted.write.mode("append").partitionBy("event_day").options(Partition.OrcOptions)
    writer.option("compression", arguments.compression).orc(run)
    (longs(counted.get), Option(counted.get("oldest")).map(oldest => LocalDate.parse(oldest.toString)))
  }
  /** All lines of the hours' objects: line, file_name, arrived_at. */
  private def readLines(hours: Seq[String]): DataFrame = {
    val schema = "value string, year int, month int, day int, hour int"
    val read = spark.read.schema(schema).option("basePath", raw).option("lineSep", "\n").text(hours: _*)
    val arrivedAt = "timestamp_seconds((unix_date(make_date(year, month, day)) * 24L + hour) * 3600) AS arrived_at"
    read.selectExpr("value AS line", "_metadata.file_name AS file_name", arrivedAt)
  }
  /** Publishes the table's partition of rejected lines, or drops it when there are none. */
  def publishRejected(partition: Partition, staged: String, lines: Long): Unit =
    if (lines == 0) partition.drop().foreach(files.delete)
    else {
      val arrival = date_format(col("arrived_at"), "'year='yyyy'/month='MM'/day='dd'/hour='HH'/'")
      val source = concat(lit(s"${table.raw}/"), arrival, col("_aside.file_name")).as("source")
      val rows = spark.read.orc(staged).select(col("_aside.reason"), source, col("_aside.line"))
      partition.publish(partition.write(rows.sortWithinPartitions("source", "line"), arguments.compression))
    }
}

/** Error objects of Firehose: one JSON record per line, with the data in base64.
  * https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
  */
object ErrorObject {
  /** The lines in an error object, gzip or not. A record that can't be read counts as one line, and so does a damaged object. */
  def countEvents(content: Array[Byte]): Long = {
    val bytes = new ByteArrayInputStream(content)
    val isGzip = content.startsWith(Array(0x1f.toByte, 0x8b.toByte))
    try {
      val text = (if (isGzip) new GZIPInputStream(bytes) else bytes).readAllBytes()
      val records = new String(text, ISO_8859_1).split('\n').filterNot(_.matches("[ \\t\\r\\x0B\\f]*"))
      records.map(record => linesOf(record.getBytes(ISO_8859_1))).sum
    } catch { case _: IOException => 1L }
  }

  private def linesOf(record: Array[Byte]): Long =
    try {
      val data = Base64.getDecoder.decode(Json.mapper.readTree(record).required("rawData").textValue)
      data.count(_ == '\n') + (if (data.lastOption.exists(_ != '\n')) 1L else 0L)
    } catch { case _: IOException | _: IllegalArgumentException | _: NullPointerException => 1L }
}

object Json {
  val mapper: ObjectMapper =
    new ObjectMapper().registerModule(DefaultScalaModule).enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
}

/** A field of an event. `kind` is uuid, text, timestamp, date, double, nested (array or struct) or typed (any other). */
case class Column(name: String, dataType: String, kind: String) {
  /** The type that the JSON reader returns. */
  def json: String = if (Set("string", "timestamp", "date").contains(dataType)) "string" else dataType
}

/** A table of events as the catalog describes it (glue/lake/table.py), its raw lines in the folder `raw` below the data path. */
case class EventTable(
    name: String, raw: String, columns: Seq[Column], stored: Seq[String], id: String, time: String, required: Seq[String], sort: Seq[String]
) {
  val optional: Seq[String] = columns.map(_.name).filterNot(required.contains)
  /** The order of arrival: hour, object, time, then the other fields as the table has them. */
  private val arrival: String = {
    val others = columns.map(_.name).filterNot(Set(id, time))
    (Seq("arrived_at", "file_name") ++ (time +: others).map(name => s"`$name`")).mkString(", ")
  }
  /** The SQL of a template, with `[[list|between|each]]` and `{{value}}` replaced. docs/lake.md describes both. */
  def render(template: String, values: Map[String, String]): String = {
    def described(column: Column) = Map("name" -> column.name, "type" -> column.dataType, "json" -> column.json)
    val kinds = Seq("uuid", "text", "timestamp", "date", "double", "nested", "typed")
    val isOdd = columns.exists(column => EventTable.OddKinds(column.kind) || column.dataType.startsWith("decimal"))
    val lists = kinds.map(kind => kind -> columns.filter(_.kind == kind).map(described)).toMap ++ Seq(
      "odd" -> Seq(Map.empty[String, String]).filter(_ => isOdd),
      "plain" -> Seq(Map.empty[String, String]).filterNot(_ => isOdd),
      "infinite" -> columns.filter(column => column.kind == "nested" && column.dataType.contains("double")).take(1).map(described),
      "columns" -> columns.map(described),
      "required" -> required.map(EventTable.reference),
      "optional" -> optional.map(EventTable.reference),
      "stored" -> stored.map(name => Map("name" -> name))
    )
    val scalars = Map("id" -> id, "time" -> time, "arrival" -> arrival) ++ values
    def filled(list: Regex.Match) =
      lists(list.group(1)).map(EventTable.fill(EventTable.Member, list.group(3), _)).mkString(list.group(2))
    val text = EventTable.List.replaceAllIn(template, list => Regex.quoteReplacement(filled(list)))
    EventTable.fill(EventTable.Value, text, scalars)
  }
}

object EventTable {
  val Allowed = "string, timestamp, date, bigint, double, decimal(p, s), boolean, or array or struct of these, but for timestamp and date"
  /** Kinds of columns that are affected by odd notations of numbers and infinity. */
  private val OddKinds = Set("text", "double", "nested")
  private val List = """(?s)\[\[(\w+)\|(.*?)\|(.*?)\]\]""".r
  private val Value = """\{\{(\w+)\}\}""".r
  private val Member = """(?<!\{)\{(\w+)\}(?!\})""".r
  /** Whether the job can fill a column of the type. */
  def isAllowed(dataType: DataType, isInside: Boolean = false): Boolean = dataType match {
    case StringType | LongType | DoubleType | BooleanType | _: DecimalType => true
    case TimestampType | DateType                                          => !isInside
    case ArrayType(element, _)                                             => isAllowed(element, isInside = true)
    case StructType(fields)                                                => fields.map(_.dataType).forall(isAllowed(_, isInside = true))
    case _                                                                 => false
  }
  private def fill(names: Regex, text: String, values: Map[String, String]): String =
    names.replaceAllIn(text, found => Regex.quoteReplacement(values(found.group(1))))
  /** SQL of a field's value, and of whether the line has any value there. `w` has the fields read as text. */
  private def reference(path: String): Map[String, String] = {
    val (names, first) = (path.split('.').toSeq, path.takeWhile(_ != '.'))
    val value = names.map(name => s"`$name`").mkString(".")
    val form = names.foldRight("string")((name, inner) => s"struct<`$name`: $inner>")
    val text =
      if (names.size == 1) s"w.`$first` IS NOT NULL"
      else
        s"get_json_object(w.`$first`, '$$.${names.tail.mkString(".")}') IS NOT NULL AND " +
          s"from_json(line, '$form', {{options}}).$value IS NOT NULL"
    Map("path" -> path, "value" -> value, "written" -> s"f.$value IS NOT NULL OR $text")
  }
}

/** A database of the catalog. */
class Catalog(val spark: SparkSession, val files: Files, val database: String) {
  def name(table: String): String = s"`$database`.`$table`"
  /** Throws `IllegalArgumentException` when the table is not one of events. */
  def eventTable(table: String): EventTable = {
    val shown = spark.sql(s"SHOW TBLPROPERTIES ${name(table)}").collect()
    val parameters = shown.map { case Row(key: String, value: String) => key -> value }.toMap
    val missing = Seq("event.id", "event.time", "event.required", "event.sort").filterNot(parameters.getOrElse(_, "").nonEmpty)
    Arguments.check(missing.isEmpty, s"$database.$table is no table of events: it has no parameter ${missing.mkString(", ")}")
    def names(key: String) = parameters.getOrElse(key, "").split(',').map(_.trim).filter(_.nonEmpty).toSeq
    val uuids = names("event.uuid")
    val schema = spark.table(s"$database.$table").schema
    val fields = schema.filterNot(field => (Days.PartitionKeys :+ "arrived_at").contains(field.name))
    fields.filterNot(field => EventTable.isAllowed(field.dataType)).foreach { field =>
      val is = s"$database.$table: the column ${field.name} is ${field.dataType.catalogString}"
      throw new IllegalArgumentException(s"$is; it must be ${EventTable.Allowed}")
    }
    val columns = fields.map(field => (field.name, field.dataType.catalogString)).map {
      case (column, kind) if uuids.contains(column)                                => Column(column, kind, "uuid")
      case (column, "string")                                                      => Column(column, "string", "text")
      case (column, kind) if Seq("timestamp", "date", "double").contains(kind)     => Column(column, kind, kind)
      case (column, kind) if kind.startsWith("array") || kind.startsWith("struct") => Column(column, kind, "nested")
      case (column, kind)                                                          => Column(column, kind, "typed")
    }
    val stored = schema.map(_.name).filterNot(Days.PartitionKeys.contains)
    val (id, time, required, sort) = (parameters("event.id"), parameters("event.time"), names("event.required"), names("event.sort"))
    EventTable(table, s"raw/${groupOf(table)}/$table", columns, stored, id, time, required, sort)
  }
  /** The parent of a table's folder in the lake. */
  private def groupOf(table: String): String = {
    val group = s".*/lake/([^/]+)/${Regex.quote(table)}".r.unapplySeq(folder(table)).map(_.head)
    group.getOrElse(throw new IllegalArgumentException(s"$database.$table is at ${folder(table)}, not …/lake/<group>/$table/"))
  }
  /** The location in the description of a table or a partition. */
  def location(described: String): String = {
    val rows = spark.sql(s"DESCRIBE TABLE EXTENDED $described").collect()
    // A partition's location comes before its table's. A column may be named Location, but has no such type.
    val details = rows.dropWhile(!_.getString(0).startsWith("# Detailed"))
    details.collectFirst { case Row("Location", location: String, _) => location }.get
  }
  def folder(table: String): String = location(name(table)).stripSuffix("/")
  /** Deletes runs in the folder that a job which died long ago has left. */
  def deleteDeadRuns(folder: String, live: Set[String]): Unit = {
    val limit = Partition.runOf(Instant.now().minus(Partition.LongestJob))
    val dead = files.list(folder).keys.filter(name => name.matches("""run-\d{8}T\d{6}-.*""") && name < limit)
    dead.map(name => s"$folder/$name").filterNot(path => live.exists(_.startsWith(path))).foreach(files.delete)
  }
}

/** One partition of a catalog table, replaced as a whole, as in glue/lake/partition.py. */
class Partition(catalog: Catalog, table: String, keys: Seq[(String, String)]) {
  import catalog.{database, files, spark}
  private val name = catalog.name(table)
  private val spec = keys.map { case (key, value) => s"`$key` = '$value'" }.mkString(", ")
  def exists: Boolean = !spark.sql(s"SHOW PARTITIONS $name PARTITION ($spec)").isEmpty
  def hasRows: Boolean = exists && !spark.table(s"$database.$table").where(spec.replace(", ", " AND ")).isEmpty
  /** The location of the partition's files, if the catalog has the partition. */
  private def location: Option[String] = if (exists) Some(catalog.location(s"$name PARTITION ($spec)")) else None
  private def folder = s"${catalog.folder(table)}/${Days.path(keys)}"
  /** Writes the rows as ORC to a fresh folder, which nothing reads yet; returns the folder. */
  def write(frame: DataFrame, compression: String): String = {
    val path = s"$folder/${Partition.newRun()}"
    frame.write.options(Partition.OrcOptions).option("compression", compression).orc(path)
    path
  }

  /** Makes the folder the partition's live one, then deletes the previous one and what dead runs left. */
  def publish(path: String): Unit = {
    val replaced = pointAt(path)
    spark.catalog.refreshTable(s"$database.$table")
    replaced.filter(_ != path).foreach(files.deleteReplaced(_, path))
    catalog.deleteDeadRuns(folder, Set(path))
  }

  /** Points the catalog at the folder; returns the previous location. */
  def pointAt(path: String): Option[String] = {
    val replaced = location
    if (replaced.isEmpty) spark.sql(s"ALTER TABLE $name ADD IF NOT EXISTS PARTITION ($spec) LOCATION '$path'")
    else spark.sql(s"ALTER TABLE $name PARTITION ($spec) SET LOCATION '$path'")
    replaced
  }

  /** Drops the partition from the catalog; returns the location of its files. */
  def drop(): Option[String] = {
    val replaced = location
    if (replaced.nonEmpty) spark.sql(s"ALTER TABLE $name DROP IF EXISTS PARTITION ($spec)")
    replaced
  }
}

object Partition {
  /** A run that started longer ago has ended. */
  val LongestJob: Duration = Duration.ofDays(8)
  /** Why these: glue/lake/session.py. */
  val OrcOptions: Map[String, String] = Map(
    "orc.row.index.stride" -> "2500",
    "orc.compress.size" -> (64 << 10).toString,
    "orc.dictionary.implementation" -> "hash"
  )

  /** Such as `run-20261120T103000`, of 2026-11-20T10:30:00.123Z. */
  def runOf(moment: Instant): String = "run-" + moment.toString.take(19).replaceAll("[-:]", "")
  /** A name for a run's folder. Later runs have greater names. */
  def newRun(): String = s"${runOf(Instant.now())}-${UUID.randomUUID().toString.take(8)}"
}

/** The partitions of a table of the lake that hold what arrived on a day, one for each event day. */
class ArrivalDay(catalog: Catalog, table: String, day: LocalDate) {
  import catalog.{database, files, spark}
  def folder: String = s"${catalog.folder(table)}/arrived=$day"
  def partition(eventDay: LocalDate) = new Partition(catalog, table, Days.keys(eventDay) :+ ("arrived" -> day.toString))
  /** The event days that have a partition in the catalog. */
  def eventDays(): Set[LocalDate] = {
    val shown = spark.sql(s"SHOW PARTITIONS ${catalog.name(table)} PARTITION (`arrived` = '$day')").collect()
    val keys = """year=(\d{4})/month=(\d{2})/day=(\d{2})/.*""".r
    shown.map(_.getString(0)).map { case keys(year, month, day) => LocalDate.parse(s"$year-$month-$day") }.toSet
  }

  /** Makes the run's event days the live ones, one by one, and drops those without rows in this run. */
  def publish(run: String): Unit = {
    val dated = """event_day=(\d{4}-\d{2}-\d{2})""".r
    val fresh = files.list(run).keys.collect { case name @ dated(found) => LocalDate.parse(found) -> s"$run/$name" }.toMap
    files.touch(s"$run/_SUCCESS")
    val gone = eventDays() -- fresh.keys
    val replaced = fresh.toSeq.sortBy(_._2).flatMap { case (eventDay, path) => partition(eventDay).pointAt(path) } ++
      gone.toSeq.sortBy(_.toString).flatMap(partition(_).drop())
    spark.catalog.refreshTable(s"$database.$table")
    val live = fresh.values.toSet
    (replaced.toSet -- live).foreach(files.delete)
    catalog.deleteDeadRuns(folder, live)
  }
}

object Days {
  val PartitionKeys: Seq[String] = Seq("year", "month", "day", "arrived")
  /** The day's partition keys and values, zero-padded strings. */
  def keys(day: LocalDate): Seq[(String, String)] = PartitionKeys.zip(day.toString.split('-'))
  def path(keys: Seq[(String, String)]): String = keys.map { case (key, value) => s"$key=$value" }.mkString("/")
}

/** Files and folders wherever Hadoop finds them: S3 on AWS, a folder on a laptop. */
class Files(spark: SparkSession) {
  private def systemOf(path: Path): FileSystem = path.getFileSystem(spark.sparkContext.hadoopConfiguration)
  /** The names of the folder's files and folders, with their bytes; none when it does not exist. */
  def list(folder: String): Map[String, Long] = {
    val path = new Path(folder)
    if (!systemOf(path).exists(path)) Map.empty
    else systemOf(path).listStatus(path).map(status => status.getPath.getName -> status.getLen).toMap
  }
  /** The bytes of the raw objects of an hour. Throws for a folder or a suffix that Spark handles differently from other readers. */
  def rawBytes(hour: String): Long = {
    val found = systemOf(new Path(hour)).listStatus(new Path(hour)).filterNot(_.getPath.getName.matches("(?s)[._].*|.*\\._COPYING_"))
    found.find(one => one.isDirectory || one.getPath.getName.matches("(?s).*\\.(bz2|deflate|lz4|snappy|zst)")).foreach { one =>
      val rule = "raw objects are in the folder of their hour, gzip or not packed: move it, or rename it"
      throw new IllegalStateException(s"$hour/${one.getPath.getName} is not a raw object: $rule")
    }
    found.map(_.getLen).sum
  }
  /** The text of a small file. */
  def read(file: String): String = {
    val path = new Path(file)
    val stream = systemOf(path).open(path)
    try new String(stream.readAllBytes(), UTF_8)
    finally stream.close()
  }
  def delete(path: String): Unit = { systemOf(new Path(path)).delete(new Path(path), true); () }
  /** Deletes a folder that the catalog no longer points at. Files of a plain INSERT have run folders beside them. */
  def deleteReplaced(replaced: String, fresh: String): Unit =
    if (!new Path(fresh).toUri.getPath.startsWith(s"${new Path(replaced).toUri.getPath}/")) delete(replaced)
    else list(replaced).keys.filterNot(_.startsWith("run-")).foreach(name => delete(s"$replaced/$name"))
  def touch(path: String): Unit = systemOf(new Path(path)).create(new Path(path), true).close()
}

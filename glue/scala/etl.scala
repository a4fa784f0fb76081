// The job of glue/etl.py in Scala: same arguments, same results, same words. What changes there changes here, but for how
// it reads lines and finds repeated ids (docs/decisions/0008). docs/lake.md defines the words.
//
// A Glue Scala job is one script whose `GlueApp` has a `main`:
// https://docs.aws.amazon.com/glue/latest/dg/glue-etl-scala-example.html

import java.io.{ByteArrayInputStream, IOException, InputStream, StringWriter}
import java.sql.Date
import java.time.{DateTimeException, Instant, LocalDate, LocalDateTime, LocalTime, ZoneOffset}
import java.time.format.{DateTimeFormatter, DateTimeParseException}
import java.util.{Arrays, UUID}

import scala.util.matching.Regex

import com.fasterxml.jackson.core.{JsonFactory, JsonParser, JsonProcessingException, JsonToken}
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path}
import org.apache.hadoop.io.compress.CompressionCodecFactory
import org.apache.spark.sql.{Column, DataFrame, Encoders, Row, SparkSession}
import org.apache.spark.sql.api.java.UDF1
import org.apache.spark.sql.expressions.Window
import org.apache.spark.sql.functions._
import org.apache.spark.sql.types.{BinaryType, LongType, StringType, StructField, StructType, TimestampType}

object GlueApp {

  /** The results depend on the first two, so the job sets them itself. The third is for speed: ids do not compress, and
    * Spark would look for a code for every column it caches. Everything else is the caller's.
    */
  private val Settings = Map(
    "spark.sql.session.timeZone" -> "UTC",
    "spark.sql.ansi.enabled" -> "false",
    "spark.sql.inMemoryColumnarStorage.compressed" -> "false"
  )

  /** Up to so many repeated ids are sent to all executors, so that the other events need no shuffle. */
  private val BroadcastIds = 2000000L

  def main(sysArgs: Array[String]): Unit = {
    val arguments = Arguments.parse(sysArgs)
    val spark = SparkSession
      .builder()
      .appName(s"etl ${arguments.table} ${arguments.day}")
      .enableHiveSupport()
      .getOrCreate()
    Settings.foreach { case (name, value) => spark.conf.set(name, value) }
    System.out.println(run(spark, arguments).toJson(arguments.table, arguments.day))
  }

  /** Writes the day's lake partition, its rejected lines and its ledger row; returns that row. */
  def run(spark: SparkSession, arguments: Arguments): Ledger = {
    val Arguments(tableName, day, database, dataPath, lookbackDays, compression, fileMb) = arguments
    val table = EventTable.fromCatalog(spark, database, tableName)
    val source = s"raw/ad/${table.name}"
    val folder = s"$dataPath/$source"
    val hours = Raw.existingHours(spark, folder, day.minusDays(lookbackDays + 1L), day.plusDays(lookbackDays.toLong))
    val windowStart = day.atStartOfDay.minusHours(Transform.ClockSkewHours)
    val lake = Partition(spark, database, table.name, Partition.dayKeys(day))
    val rejected = Partition(spark, database, "rejected", ("table_name" -> table.name) +: Partition.dayKeys(day))
    val books = Partition(spark, database, "ledger", ("table_name" -> table.name) +: Partition.dayKeys(day))
    if (!hours.exists(hour => !hour.isBefore(windowStart)) && lake.hasRows)
      throw new IllegalStateException(
        s"$folder holds no lines for $day, but the lake does: is raw expired? Refusing to empty the lake's partition"
      )

    // Raw is read and parsed once; what follows reads the parsed lines, of which none but the rejected keep their text.
    val raw = Transform.splitLines(Raw.readFiles(spark, folder, hours), table)
    val parsed = Transform.parseLines(raw, table).persist()
    val events = Transform.selectEvents(parsed, lookbackDays)
    val repeatedIds = Transform.repeatedIds(events, table).persist()
    var cached = Seq(repeatedIds, parsed)
    val (lines, repeats, lakePath, rejectedPath) =
      try {
        val repeated = if (repeatedIds.count() <= BroadcastIds) broadcast(repeatedIds) else repeatedIds
        val marked = Transform.markRepeats(events, repeated, table).persist()
        cached = marked +: cached
        val lines = Transform.countLines(parsed, day, lookbackDays)
        val repeats = Transform.countRepeats(marked, day, lookbackDays)

        val kept = Transform.selectKept(events, repeated, marked, table)
        val lakeFiles = filesFor(lines("dated") - repeats("dated"), table.bytesOfRow, fileMb)
        val lakePath = lake.write(Transform.selectLake(kept, table, day, lakeFiles), compression)
        val rejectedFiles = filesFor(lines("rejected"), EventTable.BytesOfRejectedLine, fileMb)
        val rejectedPath = rejected.write(Transform.selectRejected(parsed, source, day, rejectedFiles), compression)
        (lines, repeats, lakePath, rejectedPath)
      } finally cached.foreach(_.unpersist())

    lake.publish(lakePath)
    rejected.publish(rejectedPath)
    val ages = (-1 to lookbackDays).map(age => age -> s"aged_${age + 1}")
    val kept = ages.map { case (age, name) => day.minusDays(age.toLong) -> (lines(name) - repeats(name)) }.toMap
    val stored = countStored(spark, database, table.name, day, kept.keys.toSeq)
    val ledger = Ledger(
      raw = lines("raw"),
      kept = kept.values.sum,
      repeats = ages.map { case (_, name) => repeats(name) }.sum,
      rejected = lines("rejected"),
      late = lines("late"),
      stored = stored.values.sum,
      pending = kept.collect { case (eventDay, lines) if !stored.contains(eventDay) => lines }.sum
    )
    val row = ledger.figures.map { case (name, lines) => s"CAST($lines AS bigint) AS $name" }.mkString(", ")
    books.publish(books.write(spark.sql(s"SELECT $row"), compression))
    ledger
  }

  /** Into how many files so many rows go. */
  def filesFor(rows: Long, bytesOfRow: Int, fileMb: Int): Int =
    math.max(1L, math.round(rows * bytesOfRow.toDouble / (fileMb * 1024L * 1024L))).toInt

  /** Rows of the lake that arrived on `arrivalDay`, by those of the event days that have a partition. */
  private def countStored(
      spark: SparkSession,
      database: String,
      table: String,
      arrivalDay: LocalDate,
      eventDays: Seq[LocalDate]
  ): Map[LocalDate, Long] = {
    val partitions = spark.sql(s"SHOW PARTITIONS `$database`.`$table`").collect().map(_.getString(0)).toSet
    val days = eventDays.filter(day => partitions.contains(Partition.pathOf(Partition.dayKeys(day))))
    if (days.isEmpty) return Map.empty
    val wanted = days.map(day => Partition.condition(Partition.dayKeys(day))).mkString("(", ") OR (", ")")
    val found = spark
      .table(s"$database.$table")
      .where(wanted)
      .where(col("arrived_on") === Date.valueOf(arrivalDay))
      .groupBy("year", "month", "day")
      .count()
      .collect()
      .map { case Row(year: String, month: String, day: String, lines: Long) =>
        LocalDate.of(year.toInt, month.toInt, day.toInt) -> lines
      }
      .toMap
    days.map(day => day -> found.getOrElse(day, 0L)).toMap
  }
}

/** What the job was asked to do. `day` is an event day for the lake and an arrival day for the books. */
case class Arguments(
    table: String,
    day: LocalDate,
    database: String,
    dataPath: String,
    lookbackDays: Int,
    compression: String,
    fileMb: Int
)

object Arguments {
  private val Required = Seq("table", "day", "database", "data_path", "lookback_days")
  private val Compressions = Seq("zstd", "zlib", "snappy")

  /** Reads `--name value` pairs; those of Glue itself are none of the job's. Throws `IllegalArgumentException`. */
  def parse(arguments: Array[String]): Arguments = {
    val given = options(arguments.toList)
    val missing = Required.filterNot(given.contains)
    require(missing.isEmpty, missing.map("--" + _).mkString("the following arguments are required: ", ", ", ""))
    Arguments(
      table = oneOf("table", given("table"), EventTable.IdFields.keys.toSeq),
      day = readDay("day", given("day")),
      database = given("database"),
      dataPath = given("data_path").reverse.dropWhile(_ == '/').reverse,
      lookbackDays = wholeNumber("lookback_days", given("lookback_days"), least = 0),
      compression = oneOf("compression", given.getOrElse("compression", "zstd"), Compressions),
      fileMb = wholeNumber("file_mb", given.getOrElse("file_mb", "64"), least = 1)
    )
  }

  private def options(arguments: List[String]): Map[String, String] = arguments match {
    case name :: value :: rest if name.startsWith("--") && !value.startsWith("--") =>
      Map(name.drop(2) -> value) ++ options(rest)
    case _ :: rest => options(rest)
    case Nil       => Map.empty
  }

  private def oneOf(name: String, value: String, known: Seq[String]): String = {
    require(known.contains(value), s"--$name is $value: it must be one of ${known.mkString(", ")}")
    value
  }

  private def wholeNumber(name: String, value: String, least: Int): Int = {
    require(
      value.matches("[0-9]{1,9}") && value.toInt >= least,
      s"--$name is $value: it must be a whole number, $least or more"
    )
    value.toInt
  }

  private def readDay(name: String, value: String): LocalDate =
    try LocalDate.parse(value)
    catch {
      case _: DateTimeParseException =>
        throw new IllegalArgumentException(s"--$name is $value: it must be a day, YYYY-MM-DD")
    }

  private def require(condition: Boolean, message: => String): Unit =
    if (!condition) throw new IllegalArgumentException(message)
}

/** A table of events and the optional fields that its rows may have: name and Spark type, in the catalog's order. */
case class EventTable(name: String, optional: Seq[(String, String)] = Nil) {
  val ids: Seq[String] = EventTable.IdFields(name)
  val ownId: String = ids.head
  val otherIds: Seq[String] = ids.tail
  val optionalNames: Seq[String] = optional.map(_._1)

  /** About what a row takes in the lake. */
  def bytesOfRow: Int =
    (ids.size - 1) * EventTable.BytesOfId + EventTable.BytesOfTimes + optional.size * EventTable.BytesOfOptionalField
}

object EventTable {

  /** The UUID fields of an event, its own id first. All are required; so is `occurred_at`. Optional fields need no word
    * here: they are the columns that the catalog's table has besides.
    */
  val IdFields: Map[String, Seq[String]] = Map(
    "impressions" -> Seq("impression_id", "ad_id"),
    "clicks" -> Seq("click_id", "impression_id", "ad_id")
  )
  val PartitionKeys: Seq[String] = Seq("year", "month", "day")

  /** What a value takes in a sorted zstd file (docs/lake.md has the measurements). Ad ids are sorted: they take nothing. */
  val BytesOfId = 19
  val BytesOfTimes = 3
  val BytesOfOptionalField = 8
  val BytesOfRejectedLine = 100

  /** An optional field is a column that is neither required, nor the ETL's own, nor a partition key. */
  def fromCatalog(spark: SparkSession, database: String, name: String): EventTable = {
    val known = (IdFields(name) ++ Seq("occurred_at", "arrived_on") ++ PartitionKeys).toSet
    val columns = spark.table(s"$database.$name").schema.map(field => field.name -> field.dataType.sql)
    EventTable(name, columns.filterNot { case (column, _) => known.contains(column) })
  }
}

/** The books of one table and arrival day; every figure counts lines.
  *
  * `stored` are the kept lines found in the lake, `pending` those whose event day has no lake partition yet.
  */
case class Ledger(raw: Long, kept: Long, repeats: Long, rejected: Long, late: Long, stored: Long, pending: Long) {

  /** Whether every raw line has one fate, and every kept line is a row of the lake. */
  def balanced: Boolean = raw == kept + repeats + rejected + late && kept == stored + pending

  def figures: Seq[(String, Long)] = Seq(
    "raw" -> raw,
    "kept" -> kept,
    "repeats" -> repeats,
    "rejected" -> rejected,
    "late" -> late,
    "stored" -> stored,
    "pending" -> pending
  )

  def toJson(table: String, day: LocalDate): String = {
    val told = figures.map { case (name, lines) => s""""$name": $lines""" }.mkString(", ")
    s"""{"table": "$table", "day": "$day", $told, "balanced": $balanced}"""
  }
}

/** Pure: DataFrame to DataFrame. */
object Transform {

  /** An event may be dated this long after the end of the hour in which it arrived. */
  val ClockSkewHours = 1L

  val FilesSchema: StructType = StructType(
    Seq(
      StructField("file_name", StringType),
      StructField("content", BinaryType),
      StructField("arrived_at", TimestampType)
    )
  )

  private val Uuid = """\A\p{XDigit}{8}-\p{XDigit}{4}-\p{XDigit}{4}-\p{XDigit}{4}-\p{XDigit}{12}\z"""
  private val OccurredAt = """\A[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?\z"""
  private val Blank = """\A\s*\z"""
  private val ClockSkew = expr(s"INTERVAL $ClockSkewHours HOUR")
  private val MicrosOfHour = 3600L * 1000 * 1000

  /** Every line of the files (`FilesSchema`), the plain ones with their fields.
    *
    * Columns: file_name, arrived_at, then either the table's ids and plain_time timestamp, or line. A plain line that is
    * wrong all the same (early, or of a day that no month has) counts as any other.
    */
  def splitLines(files: DataFrame, table: EventTable): DataFrame = {
    val plain = new PlainLine(table.ids)
    // Text as bytes and times as numbers: Spark takes these as they are.
    val schema = StructType(
      Seq(StructField("file_name", StringType), StructField("arrived_at", LongType)) ++
        table.ids.map(StructField(_, BinaryType)) ++
        Seq(StructField("plain_time", LongType), StructField("line", BinaryType))
    )
    val width = schema.size
    val columns = schema.map { field =>
      val column = col(field.name)
      val converted = field.dataType match {
        case LongType   => timestamp_micros(column)
        case BinaryType => column.cast(StringType)
        case _          => column
      }
      converted.as(field.name)
    }
    files
      .select(col("file_name"), col("content"), unix_micros(col("arrived_at")))
      .mapPartitions { (files: Iterator[Row]) =>
        val codecs = new Codecs
        files.flatMap { case Row(name: String, content: Array[Byte], arrivedAt: Long) =>
          val early = arrivedAt + (1 + ClockSkewHours) * MicrosOfHour
          new Lines(name, codecs.open(name, content)).map { line =>
            val values = new Array[Any](width)
            values(0) = name
            values(1) = arrivedAt
            plain.timeOf(line) match {
              case Some(time) if time < early =>
                plain.copyIds(line, values, 2)
                values(width - 2) = time
              case _ => values(width - 1) = line
            }
            Row.fromSeq(values)
          }
        }
      }(Encoders.row(schema))
      .select(columns: _*)
  }

  /** Every line (of `splitLines`) with its fields, and the reason why it is no event of this table.
    *
    * Columns: file_name, arrived_at, the table's ids (string, lower case), occurred_at timestamp, the optional fields,
    * reason string (null for an event), line (null for an event). Unknown fields of a line are ignored. An optional
    * field whose value does not fit the column's type is null: no line's fate depends on what is optional.
    */
  def parseLines(lines: DataFrame, table: EventTable): DataFrame = {
    val fields = new JsonFields((table.ids :+ "occurred_at") ++ table.optionalNames)
    val writtenTime = col("fields.occurred_at")

    val unreadable = when(col("fields").isNull, when(col("line").rlike(Blank), "blank").otherwise("malformed"))
    val wrongId = table.ids.foldLeft(unreadable) { (reason, name) =>
      val value = col(s"fields.$name")
      reason.when(value.isNull, s"missing $name").when(!value.rlike(Uuid), s"invalid $name")
    }
    val wrongForm = wrongId
      .when(writtenTime.isNull, "missing occurred_at")
      .when(!writtenTime.rlike(OccurredAt), "invalid occurred_at")
    val wrongTime = when(col("occurred_at").isNull, "invalid occurred_at").when(isEarly("occurred_at"), "early")

    val columns = Seq(col("file_name"), col("arrived_at")) ++
      table.ids.map(name => coalesce(col(name), lower(col(s"fields.$name"))).as(name)) ++
      Seq(col("occurred_at")) ++
      table.optional.map { case (name, kind) => col(s"fields.`$name`").cast(kind).as(name) } ++
      Seq(col("reason"), when(col("reason").isNotNull, col("line")).as("line"))
    lines
      .withColumn("fields", udf(fields, fields.schema)(col("line")))
      .withColumn("occurred_at", coalesce(col("plain_time"), call_function("try_to_timestamp", writtenTime)))
      .withColumn("reason", when(col("line").isNotNull, coalesce(wrongForm, wrongTime)))
      .select(columns: _*)
  }

  /** Whether an event is dated so long after its arrival that a clock must be wrong. Null when it has no date. */
  def isEarly(occurredAt: String): Column =
    unix_micros(col(occurredAt)) - unix_micros(col("arrived_at")) >= (1 + ClockSkewHours) * MicrosOfHour

  /** The day of a time. It is what `to_date` tells, which asks the rules of the time zone for every row; here it is UTC. */
  def dayOf(moment: String): Column = {
    val (micros, day) = (s"unix_micros($moment)", 24 * MicrosOfHour)
    date_from_unix_date(expr(s"CAST(($micros - pmod($micros, ${day}L)) DIV ${day}L AS int)"))
  }

  /** Whether a line arrived after the last day on which its event day's partition is written. */
  def isLate(lookbackDays: Int): Column = datediff(dayOf("arrived_at"), dayOf("occurred_at")) > lookbackDays

  /** The lines of `parseLines` that are events and not late. */
  def selectEvents(parsed: DataFrame, lookbackDays: Int): DataFrame =
    parsed.where(col("reason").isNull && !isLate(lookbackDays)).drop("reason", "line")

  /** The hashes (id_hash bigint) that more than one event's own id has: of all that is a repeat, and of little else. */
  def repeatedIds(events: DataFrame, table: EventTable): DataFrame = {
    val hashes = events.select(xxhash64(col(table.ownId)).as("id_hash"))
    // Equal ones come to one task, which puts them in order: bare numbers, in less time than Spark's `groupBy` takes.
    hashes
      .repartition(col("id_hash"))
      .mapPartitions { (rows: Iterator[Row]) =>
        val numbers = Array.newBuilder[Long]
        rows.foreach(numbers += _.getLong(0))
        repeatedOf(numbers.result()).map(Row(_))
      }(Encoders.row(hashes.schema))
  }

  /** Each number that stands more than once in the array, once. Sorts the array. */
  private def repeatedOf(numbers: Array[Long]): Iterator[Long] = {
    Arrays.sort(numbers)
    def isSecond(index: Int) =
      numbers(index) == numbers(index - 1) && (index == 1 || numbers(index) != numbers(index - 2))
    Iterator.range(1, numbers.length).filter(isSecond).map(numbers)
  }

  /** The events whose ids hash to one of `repeated`, and `is_repeat`: whether the id arrived before, from the last hour
    * before the event's own day on.
    *
    * A mark is exact for an event of day D when `events` hold all that arrived from the last hour of D-1 up to the
    * event. `repeated` are the `repeatedIds` of the events: only these few need to be put in order.
    */
  def markRepeats(events: DataFrame, repeated: DataFrame, table: EventTable): DataFrame = {
    val order = Seq("arrived_at", "file_name", "occurred_at") ++ table.otherIds ++ table.optionalNames
    val byArrival = Window.partitionBy(table.ownId).orderBy(order.map(col): _*)
    val windowStart = date_trunc("day", col("occurred_at")) - ClockSkew
    // Of all lines with the id before this one, the last has the latest arrival, so it decides.
    val previous = lag("arrived_at", 1).over(byArrival)
    events
      .join(repeated, xxhash64(col(table.ownId)) === col("id_hash"), "left_semi")
      .withColumn("previous", previous)
      .withColumn("is_repeat", coalesce(col("previous") >= windowStart, lit(false)))
      .drop("previous")
  }

  /** The events without the repeats; `marked` is what `markRepeats` makes of the same. */
  def selectKept(events: DataFrame, repeated: DataFrame, marked: DataFrame, table: EventTable): DataFrame = {
    val single = events.join(repeated, xxhash64(col(table.ownId)) === col("id_hash"), "left_anti")
    single.unionByName(marked.where(!col("is_repeat")).drop("is_repeat"))
  }

  /** The rows of the table's partition `day`, in at most so many files, each in order of ads: a query for one ad skips
    * the rest. The files are not in order among themselves, so no row has to leave its task (docs/decisions/0007).
    */
  def selectLake(kept: DataFrame, table: EventTable, day: LocalDate, files: Int): DataFrame = {
    val columns = (table.ids :+ "occurred_at").map(col) ++
      (dayOf("arrived_at").as("arrived_on") +: table.optionalNames.map(col))
    kept
      .where(dayOf("occurred_at") === Date.valueOf(day))
      .select(columns: _*)
      .coalesce(files)
      .sortWithinPartitions("ad_id", "occurred_at", table.ownId)
  }

  /** The day's lines that are no events: reason, source object (its key below the data path), original line. */
  def selectRejected(parsed: DataFrame, source: String, day: LocalDate, files: Int): DataFrame = {
    val arrival = date_format(col("arrived_at"), "'/year='yyyy'/month='MM'/day='dd'/hour='HH'/'")
    parsed
      .where(col("reason").isNotNull && arrivedOn(day))
      .select(col("reason"), concat(lit(source), arrival, col("file_name")).as("source"), col("line"))
      .repartitionByRange(files, col("source"), col("line"))
      .sortWithinPartitions("source", "line")
  }

  /** Counts of `parseLines`' rows.
    *
    * Of those that arrived on `day`: raw, rejected, late, and aged_<n>, the other events that are dated n - 1 days before
    * it. Besides: dated, the events of the day `day` whenever they arrived, but for the late ones.
    */
  def countLines(parsed: DataFrame, day: LocalDate, lookbackDays: Int): Map[String, Long] = {
    val arrived = col("arrived_on") === Date.valueOf(day)
    val fates = Seq(
      count_if(arrived).as("raw"),
      count_if(arrived && !col("is_event")).as("rejected"),
      count_if(arrived && col("is_event") && Age > lookbackDays).as("late")
    )
    count(parsed, col("reason").isNull, fates ++ countAges(day, lookbackDays))
  }

  /** Counts of the repeats among `markRepeats`' rows: aged_<n> and dated, as `countLines` has them. */
  def countRepeats(marked: DataFrame, day: LocalDate, lookbackDays: Int): Map[String, Long] =
    count(marked, col("is_repeat"), countAges(day, lookbackDays))

  private val Age = datediff(col("arrived_on"), col("event_day"))

  private def countAges(day: LocalDate, lookbackDays: Int): Seq[Column] = {
    val today = Date.valueOf(day)
    count_if(col("is_event") && col("event_day") === today && Age <= lookbackDays).as("dated") +:
      (-1 to lookbackDays).map { days =>
        count_if(col("is_event") && col("arrived_on") === today && Age === days).as(s"aged_${days + 1}")
      }
  }

  /** The aggregates' values by name. They count over the lines' arrived_on, event_day, is_event. */
  private def count(lines: DataFrame, isEvent: Column, aggregates: Seq[Column]): Map[String, Long] = {
    val counted = lines
      .select(dayOf("arrived_at").as("arrived_on"), dayOf("occurred_at").as("event_day"), isEvent.as("is_event"))
      .agg(aggregates.head, aggregates.tail: _*)
    counted.first().getValuesMap[Long](counted.columns)
  }

  private def arrivedOn(day: LocalDate): Column = dayOf("arrived_at") === Date.valueOf(day)
}

/** What a plain line is: one that is, to the letter, as the beacons write an event with these ids. Nearly all lines are.
  *
  * Each byte is held against what may stand at its place, which takes a fraction of the time of reading JSON and of
  * looking at each field.
  */
class PlainLine(ids: Seq[String]) extends Serializable {
  private val written = (ids.map(_ -> PlainLine.Id) :+ ("occurred_at" -> PlainLine.Time)).zipWithIndex.map {
    case ((name, value), index) => ((if (index == 0) "{\"" else "\",\"") + name + "\":\"", value)
  }

  /** The characters that may stand at each place. */
  private val places: Seq[String] =
    written.flatMap { case (before, value) => before.map(_.toString) ++ value.map(PlainLine.charactersFor) } ++
      Seq("\"", "}")

  /** Where each value starts. */
  private val starts: Array[Int] = written
    .scanLeft(0) { case (end, (before, value)) => end + before.length + value.length }
    .zip(written)
    .map { case (previousEnd, (before, _)) => previousEnd + before.length }
    .toArray

  // Each of these sets of characters, of which there are fewer than 64, has a bit.
  private val sets = places.distinct
  private val setAt: Array[Long] = places.map(set => 1L << sets.indexOf(set)).toArray
  private val setsOf: Array[Long] = Array.tabulate(256) { byte =>
    sets.indices.filter(set => sets(set).contains(byte.toChar)).map(1L << _).sum
  }

  /** The line's time in microseconds since 1970. None when the line is not plain, or its time is none. */
  def timeOf(line: Array[Byte]): Option[Long] = {
    if (line.length != setAt.length) return None
    var place = 0
    while (place < line.length && (setsOf(line(place) & 0xff) & setAt(place)) != 0) place += 1
    if (place == line.length) readTime(line, starts.last) else None
  }

  private def readTime(line: Array[Byte], start: Int): Option[Long] = {
    def number(offset: Int, length: Int) = {
      var value = 0
      var place = start + offset
      while (place < start + offset + length) {
        value = value * 10 + (line(place) - '0')
        place += 1
      }
      value
    }
    try {
      val day = LocalDate.of(number(0, 4), number(5, 2), number(8, 2)).toEpochDay
      val time = LocalTime.of(number(11, 2), number(14, 2), number(17, 2), number(20, 3) * 1000000)
      Some(day * 24 * 3600 * 1000 * 1000 + time.toNanoOfDay / 1000)
    } catch { case _: DateTimeException => None }
  }

  /** Puts the ids of a line that is plain into `values`, as bytes, from the place `first` on. */
  def copyIds(line: Array[Byte], values: Array[Any], first: Int): Unit = {
    var index = 0
    while (index < ids.size) {
      values(first + index) = Arrays.copyOfRange(line, starts(index), starts(index) + PlainLine.Id.length)
      index += 1
    }
  }
}

object PlainLine {
  private val Id = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"
  private val Time = "2ddd-dd-dd dd:dd:dd.ddd"

  private def charactersFor(place: Char): String = place match {
    case 'h'       => "0123456789abcdef"
    case 'd'       => "0123456789"
    case character => character.toString
  }
}

/** The lines of a file, without the ends of line: what stands between line feeds, and after the last if there is
  * something. Closes the file after its last line.
  */
class Lines(fileName: String, file: InputStream) extends Iterator[Array[Byte]] {
  private var bytes = new Array[Byte](64 * 1024)
  private var start = 0
  private var end = 0
  private var isOpen = true
  skipByteOrderMark()

  override def hasNext: Boolean = start < end || read()

  override def next(): Array[Byte] = {
    if (!hasNext) throw new NoSuchElementException
    var length = lengthFrom(0)
    while (start + length == end && read()) length = lengthFrom(length)
    val line = Arrays.copyOfRange(bytes, start, start + length)
    start = math.min(start + length + 1, end)
    line
  }

  /** How long the line is, as far as it is read; the first bytes are known to be of it. */
  private def lengthFrom(known: Int): Int = {
    var place = start + known
    while (place < end && bytes(place) != '\n') place += 1
    place - start
  }

  /** Reads on, behind what is not taken yet. Returns whether there was something. */
  private def read(): Boolean = {
    if (start > 0) {
      System.arraycopy(bytes, start, bytes, 0, end - start)
      end -= start
      start = 0
    } else if (end == bytes.length) bytes = Arrays.copyOf(bytes, 2 * bytes.length)
    var length = 0
    while (length == 0 && isOpen) {
      length =
        try file.read(bytes, end, bytes.length - end)
        catch { case error: IOException => throw new IOException(s"$fileName: ${error.getMessage}", error) }
      if (length < 0) {
        file.close()
        isOpen = false
      }
    }
    end += math.max(length, 0)
    length > 0
  }

  /** As Hadoop's reader of lines, which Python's half of this job has. */
  private def skipByteOrderMark(): Unit = {
    while (end < 3 && read()) {}
    if (end >= 3 && bytes(0) == 0xef.toByte && bytes(1) == 0xbb.toByte && bytes(2) == 0xbf.toByte) start = 3
  }
}

/** Opens compressed files by the ends of their names, as Hadoop does. */
class Codecs {
  private val settings = new Configuration(false)
  settings.setInt("io.file.buffer.size", 64 * 1024)
  private val codecs = new CompressionCodecFactory(settings)

  def open(fileName: String, content: Array[Byte]): InputStream = {
    val bytes = new ByteArrayInputStream(content)
    Option(codecs.getCodec(new Path(fileName))).fold[InputStream](bytes)(_.createInputStream(bytes))
  }
}

/** The fields of a line that is one JSON object and nothing else, as text; what is no text is told as JSON. Null for any
  * other line. Python has Spark's `from_json` for this, which Spark cannot compile into one loop with the steps around.
  */
class JsonFields(names: Seq[String]) extends UDF1[String, Row] {
  def schema: StructType = StructType(names.map(StructField(_, StringType)))

  override def call(line: String): Row =
    if (line == null) null
    else {
      val parser = JsonFields.Factory.createParser(line)
      try read(parser).orNull
      catch { case _: JsonProcessingException => null }
      finally parser.close()
    }

  private def read(parser: JsonParser): Option[Row] = {
    val values = new Array[Any](names.size)
    if (parser.nextToken() != JsonToken.START_OBJECT) return None
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      val index = names.indexOf(parser.getCurrentName)
      parser.nextToken() match {
        case _ if index < 0         => parser.skipChildren()
        case JsonToken.VALUE_NULL   => values(index) = null
        case JsonToken.VALUE_STRING => values(index) = parser.getText
        case _                      => values(index) = asJson(parser)
      }
    }
    if (parser.nextToken() == null) Some(Row.fromSeq(values)) else None
  }

  private def asJson(parser: JsonParser): String = {
    val text = new StringWriter
    val generator = JsonFields.Factory.createGenerator(text)
    generator.copyCurrentStructure(parser)
    generator.close()
    text.toString
  }
}

object JsonFields {
  private val Factory = new JsonFactory()
}

/** The raw zone. */
object Raw {
  private val HourFolder: Regex = "hour=([01][0-9]|2[0-3])".r

  /** The hours of arrival that have a folder, from the last hour of the day `first` to the end of the day `last`. */
  def existingHours(spark: SparkSession, folder: String, first: LocalDate, last: LocalDate): Seq[LocalDateTime] =
    for {
      day <- Iterator.iterate(first)(_.plusDays(1)).takeWhile(!_.isAfter(last)).toVector
      name <- Files.list(spark, s"$folder/${Partition.pathOf(Partition.dayKeys(day))}").sorted
      hour <- HourFolder.unapplySeq(name).map(found => day.atTime(found.head.toInt, 0))
      if !hour.isBefore(first.atTime(23, 0))
    } yield hour

  /** All files (`Transform.FilesSchema`) of the hours; `arrived_at` is the hour's start. */
  def readFiles(spark: SparkSession, folder: String, hours: Seq[LocalDateTime]): DataFrame = {
    if (hours.isEmpty)
      return spark.createDataFrame(java.util.Collections.emptyList[Row](), Transform.FilesSchema)
    val paths = hours.map { hour =>
      f"$folder/${Partition.pathOf(Partition.dayKeys(hour.toLocalDate))}/hour=${hour.getHour}%02d"
    }
    val files = spark.read
      .format("binaryFile")
      .schema(
        "path string, modificationTime timestamp, length bigint, content binary, year int, month int, day int, hour int"
      )
      .option("basePath", folder)
      .load(paths: _*)
    val hour = unix_date(make_date(col("year"), col("month"), col("day"))).cast("bigint") * 24 + col("hour")
    files.select(
      col("_metadata.file_name").as("file_name"),
      col("content"),
      timestamp_seconds(hour * 3600).as("arrived_at")
    )
  }
}

/** One partition of a catalog table, replaced as a whole.
  *
  * `write` puts complete new files beside the live ones, `publish` points the catalog at them in one call and then
  * deletes the others. A job that dies in between leaves the old partition in place; the next run cleans up.
  */
case class Partition(spark: SparkSession, database: String, table: String, keys: Seq[(String, String)]) {
  private val name = s"`$database`.`$table`"

  /** A reader that looks for one ad takes whole groups of rows, in whole blocks. By itself ORC makes them of 10,000 rows
    * and 256 KiB, of which such a reader needs little. Codes for the ads are found by hash: a tree compares some ten ids
    * for each row.
    */
  private val orcOptions = Map(
    "orc.row.index.stride" -> "2500",
    "orc.compress.size" -> (64 * 1024).toString,
    "orc.dictionary.implementation" -> "hash"
  )

  private val spec = keys.map { case (key, value) => s"`$key` = '$value'" }.mkString(", ")

  /** The folder of all of the partition's runs, below the location that the catalog has for the table. */
  def folder: String = {
    val rows = spark.sql(s"DESCRIBE TABLE EXTENDED $name").collect().reverse
    val location = rows.collectFirst { case Row("Location", location: String, _) => location }.get
    s"${location.stripSuffix("/")}/${Partition.pathOf(keys)}"
  }

  def exists: Boolean = !spark.sql(s"SHOW PARTITIONS $name PARTITION ($spec)").isEmpty

  def hasRows: Boolean = exists && !spark.table(s"$database.$table").where(Partition.condition(keys)).isEmpty

  /** Writes the rows as ORC to a fresh folder, which nothing reads yet; returns the folder. */
  def write(frame: DataFrame, compression: String): String = {
    val moment = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss").withZone(ZoneOffset.UTC).format(Instant.now())
    val path = s"$folder/run-$moment-${UUID.randomUUID().toString.take(8)}"
    frame.write.options(orcOptions).option("compression", compression).orc(path)
    path
  }

  /** Makes the folder the partition's live one, then deletes what else lies below the partition's folder. */
  def publish(path: String): Unit = {
    if (exists) spark.sql(s"ALTER TABLE $name PARTITION ($spec) SET LOCATION '$path'")
    else spark.sql(s"ALTER TABLE $name ADD PARTITION ($spec) LOCATION '$path'")
    spark.catalog.refreshTable(s"$database.$table")
    val live = new Path(path)
    Files
      .list(spark, live.getParent.toString)
      .filter(_ != live.getName)
      .foreach(name => Files.systemOf(spark, live).delete(new Path(live.getParent, name), true))
  }
}

object Partition {

  /** The day's partition keys and values, zero-padded strings. */
  def dayKeys(day: LocalDate): Seq[(String, String)] = {
    val Array(year, month, dayOfMonth) = day.toString.split("-")
    Seq("year" -> year, "month" -> month, "day" -> dayOfMonth)
  }

  def pathOf(keys: Seq[(String, String)]): String = keys.map { case (key, value) => s"$key=$value" }.mkString("/")

  def condition(keys: Seq[(String, String)]): String =
    keys.map { case (key, value) => s"`$key` = '$value'" }.mkString(" AND ")
}

/** Folders of S3 and local ones alike. */
object Files {

  def systemOf(spark: SparkSession, path: Path): FileSystem =
    path.getFileSystem(spark.sparkContext.hadoopConfiguration)

  /** The names of the folder's files and folders; none when it does not exist. */
  def list(spark: SparkSession, folder: String): Seq[String] = {
    val path = new Path(folder)
    val system = systemOf(spark, path)
    if (system.exists(path)) system.listStatus(path).toSeq.map(_.getPath.getName) else Nil
  }
}

// The job of glue/etl.py in Scala: same arguments, same results, same steps under the same names. What changes there
// changes here. Between reading and writing it holds events as numbers (docs/decisions/0008). docs/lake.md defines the words.
//
// A Glue Scala job is one script whose `GlueApp` has a `main`:
// https://docs.aws.amazon.com/glue/latest/dg/glue-etl-scala-example.html

import java.io.{ByteArrayInputStream, IOException, InputStream, StringWriter}
import java.nio.charset.StandardCharsets.{US_ASCII, UTF_8}
import java.sql.Date
import java.time.{DateTimeException, Instant, LocalDate, LocalDateTime, LocalTime, ZoneOffset}
import java.time.format.{DateTimeFormatter, DateTimeParseException}
import java.util.{Arrays, Base64, UUID}
import java.util.regex.Pattern
import java.util.zip.GZIPInputStream

import scala.collection.mutable.{ArrayBuffer, ArrayBuilder}
import scala.util.matching.Regex

import com.fasterxml.jackson.core.{JsonFactory, JsonParser, JsonProcessingException, JsonToken}
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path}
import org.apache.hadoop.io.compress.CompressionCodecFactory
import org.apache.spark.{HashPartitioner, SparkContext}
import org.apache.spark.broadcast.Broadcast
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.{DataFrame, Row, SparkSession}
import org.apache.spark.sql.expressions.Window
import org.apache.spark.sql.functions._
import org.apache.spark.sql.types._
import org.apache.spark.storage.StorageLevel

object GlueApp {

  /** The results depend on these, so the job sets them itself. Everything else is the caller's. */
  private val Settings = Map("spark.sql.session.timeZone" -> "UTC", "spark.sql.ansi.enabled" -> "false")

  def main(sysArgs: Array[String]): Unit = {
    val arguments = Arguments.parse(sysArgs)
    val spark = SparkSession
      .builder()
      .appName(s"etl ${arguments.table} ${arguments.day}")
      .enableHiveSupport()
      .getOrCreate()
    initializeGlue(spark.sparkContext)
    Settings.foreach { case (name, value) => spark.conf.set(name, value) }
    System.out.println(run(spark, arguments).toJson(arguments.table, arguments.day))
  }

  /** Glue publishes metrics of a job that makes a GlueContext. Where there is no Glue, its class is missing.
    * https://docs.aws.amazon.com/glue/latest/dg/monitor-profile-glue-job-cloudwatch-metrics.html
    */
  private def initializeGlue(context: SparkContext): Unit =
    try Class.forName("com.amazonaws.services.glue.GlueContext").getConstructor(classOf[SparkContext]).newInstance(context)
    catch { case _: ClassNotFoundException => () }

  /** Writes the day's lake partition, its rejected lines and its ledger row; returns that row. */
  def run(spark: SparkSession, arguments: Arguments): Ledger = {
    val Arguments(tableName, day, database, dataPath, lookbackDays, compression, fileMb) = arguments
    val table = EventTable.fromCatalog(spark, database, tableName)
    val source = s"raw/ad/${table.name}"
    val folder = s"$dataPath/$source"
    // Before raw, so that lines taken back in between count twice rather than never.
    val undelivered = Undelivered.count(spark, s"$dataPath/raw-errors/${table.name}/processing-failed", day)
    val hours = Raw.existingHours(spark, folder, day.minusDays(lookbackDays + 1L), day.plusDays(lookbackDays.toLong))
    val windowStart = day.atStartOfDay.minusHours(Transform.ClockSkewHours)
    val lake = Partition(spark, database, table.name, Partition.dayKeys(day))
    val rejected = Partition(spark, database, "rejected", ("table_name" -> table.name) +: Partition.dayKeys(day))
    val books = Partition(spark, database, "ledger", ("table_name" -> table.name) +: Partition.dayKeys(day))
    if (!hours.exists(hour => !hour.isBefore(windowStart)) && lake.hasRows)
      throw new IllegalStateException(
        s"$folder holds no lines for $day, but the lake does: is raw expired? Refusing to empty the lake's partition"
      )

    // Raw is read once; what follows has the events, as numbers in memory, and the text of the rejected lines.
    val transform = new Transform(table, lookbackDays)
    val files = transform.readFiles(Raw.readFiles(spark, folder, hours)).persist(StorageLevel.MEMORY_AND_DISK)
    var cached = Seq[RDD[_]](files)
    val (lines, repeats, lakePath, rejectedPath) =
      try {
        val repeated = spark.sparkContext.broadcast(transform.repeatedIds(files))
        val marked = transform.markRepeats(files, repeated, spark).persist(StorageLevel.MEMORY_AND_DISK)
        cached = marked +: cached
        val lines = transform.countLines(files, day)
        val repeats = transform.countRepeats(marked, day)

        val lakeFiles = filesFor(lines("dated") - repeats("dated"), table.bytesOfRow, fileMb)
        val lakeRows = transform.selectLake(files, repeated, marked, day, lakeFiles, spark)
        val lakePath = lake.write(lakeRows, compression)
        val rejectedFiles = filesFor(lines("rejected"), EventTable.BytesOfRejectedLine, fileMb)
        val rejectedRows = transform.selectRejected(files, source, day, rejectedFiles, spark)
        val rejectedPath = rejected.write(rejectedRows, compression)
        repeated.destroy()
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
      pending = kept.collect { case (eventDay, lines) if !stored.contains(eventDay) => lines }.sum,
      undelivered = undelivered
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
  * `stored` are the kept lines found in the lake, `pending` those whose event day has no lake partition yet, `undelivered`
  * acknowledged ones that Firehose set aside, which are not in raw.
  */
case class Ledger(
    raw: Long,
    kept: Long,
    repeats: Long,
    rejected: Long,
    late: Long,
    stored: Long,
    pending: Long,
    undelivered: Long
) {

  /** Whether every line is in raw and has one fate there, and every kept line is a row of the lake. */
  def balanced: Boolean = raw == kept + repeats + rejected + late && kept == stored + pending && undelivered == 0

  def figures: Seq[(String, Long)] = Seq(
    "raw" -> raw,
    "kept" -> kept,
    "repeats" -> repeats,
    "rejected" -> rejected,
    "late" -> late,
    "stored" -> stored,
    "pending" -> pending,
    "undelivered" -> undelivered
  )

  def toJson(table: String, day: LocalDate): String = {
    val told = figures.map { case (name, lines) => s""""$name": $lines""" }.mkString(", ")
    s"""{"table": "$table", "day": "$day", $told, "balanced": $balanced}"""
  }
}

/** What becomes of the lines, apart from where they come from and where they go. Times are in microseconds since 1970. */
class Transform(table: EventTable, lookbackDays: Int) extends Serializable {
  import Transform._

  /** What each of the files (`FilesSchema`) holds. */
  def readFiles(files: DataFrame): RDD[RawFile] = {
    val reader = new FileReader(table, lookbackDays)
    files.select(col("file_name"), col("content"), unix_micros(col("arrived_at"))).rdd.mapPartitions { files =>
      val codecs = new Codecs
      files.map { case Row(name: String, content: Array[Byte], arrivedAt: Long) =>
        reader.read(name, arrivedAt, new Lines(name, codecs.open(name, content)))
      }
    }
  }

  /** The own ids that more than one event has, and of some others: a set for `IdSet.holds`. */
  def repeatedIds(files: RDD[RawFile]): Array[Long] = {
    val tasks = IdSet.partsFor(files.getNumPartitions)
    val parts = files
      .mapPartitions { files =>
        val hashes = Array.fill(tasks)(new ArrayBuilder.ofLong)
        for (file <- files; place <- file.events) {
          val hash = file.events.hashOfOwnId(place)
          hashes(IdSet.partOf(hash, tasks)) += hash
        }
        hashes.iterator.zipWithIndex.map { case (of, task) => task -> of.result() }
      }
      // Equal ones come to one task, which puts them in order: bare numbers, in less time than Spark's `groupBy` takes.
      .partitionBy(new HashPartitioner(tasks))
      .mapPartitionsWithIndex { (task, hashes) =>
        Iterator(task -> IdSet.part(repeatedOf(Array.concat(hashes.map(_._2).toSeq: _*)), tasks))
      }
      .collect()
    parts.sortBy(_._1).flatMap(_._2)
  }

  /** Each number that stands more than once in the array. Sorts the array. */
  private def repeatedOf(numbers: Array[Long]): Iterator[Long] = {
    Arrays.sort(numbers)
    Iterator.range(1, numbers.length).filter(index => numbers(index) == numbers(index - 1)).map(numbers)
  }

  /** Of the events whose ids are in `repeated`, those whose id arrived before, from the last hour before the event's own
    * day on, and the others.
    *
    * This is exact for an event of day D when `files` hold all that arrived from the last hour of D-1 up to the event.
    * `repeated` are the `repeatedIds` of the same files: only these few need to be put in order.
    */
  def markRepeats(files: RDD[RawFile], repeated: Broadcast[Array[Long]], spark: SparkSession): RDD[Marked] = {
    val rows = files.flatMap { file =>
      val events = file.events
      val mayRepeat = events.where(place => IdSet.holds(repeated.value, events.hashOfOwnId(place)))
      Iterator.tabulate(mayRepeat.size) { place =>
        Row.fromSeq((file.name +: mayRepeat.numbersOf(place)) ++ mayRepeat.optionalOf(place))
      }
    }
    val numbers = Events.columns(table)
    val schema = StructType(
      StructField("file_name", StringType) +:
        (numbers.map(StructField(_, LongType)) ++ table.optionalNames.map(StructField(_, StringType)))
    )
    val optional = table.optional.map { case (name, kind) => col(s"`$name`").cast(kind) }
    val order = Seq("arrived_at", "file_name", "occurred_at").map(col) ++ table.otherIds.flatMap(Events.columnsOfId).map(col)
    val byArrival = Window.partitionBy(Events.columnsOfId(table.ownId).map(col): _*).orderBy(order ++ optional: _*)
    val windowStart = col("occurred_at") - pmod(col("occurred_at"), lit(MicrosOfDay)) - ClockSkewHours * MicrosOfHour
    // Of all lines with the id before this one, the last has the latest arrival, so it decides.
    val previous = lag("arrived_at", 1).over(byArrival)
    spark
      .createDataFrame(rows, schema)
      .withColumn("is_repeat", coalesce(previous >= windowStart, lit(false)))
      .drop("file_name")
      .rdd
      .mapPartitions { rows =>
        val marked = Marked(new Events(table), new Events(table))
        for (row <- rows) {
          val event = numbers.indices.map(row.getLong).toArray
          val texts = table.optional.indices.map(index => row.getString(numbers.size + index)).toArray
          (if (row.getBoolean(row.size - 1)) marked.repeats else marked.kept).add(event, texts)
        }
        marked.kept.trim()
        marked.repeats.trim()
        Iterator(marked)
      }
  }

  /** The rows of the table's partition `day`, in at most so many files, each in order of ads: a query for one ad skips the
    * rest. The files are not in order among themselves, so no row has to leave its task (docs/decisions/0007); nor are the
    * parts of a file whose events are too many for a task to hold (`Runs`).
    */
  def selectLake(
      files: RDD[RawFile],
      repeated: Broadcast[Array[Long]],
      marked: RDD[Marked],
      day: LocalDate,
      count: Int,
      spark: SparkSession
  ): DataFrame = {
    val today = day.toEpochDay
    def isToday(events: Events, place: Int) = dayOf(events.timeOf(place)) == today
    val single = files.map { file =>
      val events = file.events
      events.where(place => isToday(events, place) && !IdSet.holds(repeated.value, events.hashOfOwnId(place)))
    }
    val first = marked.map(marked => marked.kept.where(place => isToday(marked.kept, place)))
    val rows = (single ++ first).coalesce(count).mapPartitions { parts =>
      new Runs(parts, table).flatMap(run => run.inOrder.map(rowOf(run, _)))
    }
    val schema = StructType(
      table.ids.map(StructField(_, BinaryType)) ++
        Seq(StructField("occurred_at", LongType), StructField("arrived_on", IntegerType)) ++
        table.optionalNames.map(StructField(_, StringType))
    )
    val columns = table.ids.map(name => col(name).cast(StringType).as(name)) ++
      Seq(
        timestamp_micros(col("occurred_at")).as("occurred_at"),
        date_from_unix_date(col("arrived_on")).as("arrived_on")
      ) ++
      table.optional.map { case (name, kind) => col(s"`$name`").cast(kind).as(name) }
    spark.createDataFrame(rows, schema).select(columns: _*)
  }

  /** Text as bytes and times as numbers: Spark takes these as they are. */
  private def rowOf(events: Events, place: Int): Row = {
    val ids = table.ids.size
    val values = new Array[Any](ids + 2 + table.optional.size)
    for (id <- 0 until ids) values(id) = events.textOfId(place, id)
    values(ids) = events.timeOf(place)
    values(ids + 1) = dayOf(events.arrivalOf(place)).toInt
    events.optionalOf(place).copyToArray(values, ids + 2)
    Row.fromSeq(values)
  }

  /** The day's lines that are no events: reason, source object (its key below the data path), original line. */
  def selectRejected(
      files: RDD[RawFile],
      source: String,
      day: LocalDate,
      count: Int,
      spark: SparkSession
  ): DataFrame = {
    val today = day.toEpochDay
    val rows = files.filter(file => dayOf(file.arrivedAt) == today).flatMap { file =>
      val hour = HourFolder.format(LocalDateTime.ofEpochSecond(file.arrivedAt / 1000000, 0, ZoneOffset.UTC))
      file.rejected.iterator.map { case Rejected(reason, line) => Row(reason, s"$source/$hour/${file.name}", line) }
    }
    val schema = StructType(
      Seq(StructField("reason", StringType), StructField("source", StringType), StructField("line", BinaryType))
    )
    spark
      .createDataFrame(rows, schema)
      .withColumn("line", col("line").cast(StringType))
      .repartition(count, col("source"))
      .sortWithinPartitions("source", "line")
  }

  /** Counts of the files' lines.
    *
    * Of those that arrived on `day`: raw, rejected, late, and aged_<n>, the other events that are dated n - 1 days before
    * it. Besides: dated, the events of the day `day` whenever they arrived, but for the late ones.
    */
  def countLines(files: RDD[RawFile], day: LocalDate): Map[String, Long] = {
    val today = day.toEpochDay
    sum(files.map { file =>
      val fates = Map("raw" -> file.lines, "rejected" -> file.rejected.length.toLong, "late" -> file.late)
      (if (dayOf(file.arrivedAt) == today) fates else Map.empty) ++ countAges(file.events, today)
    })
  }

  /** Counts of the repeats: aged_<n> and dated, as `countLines` has them. */
  def countRepeats(marked: RDD[Marked], day: LocalDate): Map[String, Long] = {
    val today = day.toEpochDay
    sum(marked.map(marked => countAges(marked.repeats, today)))
  }

  private def countAges(events: Events, today: Long): Map[String, Long] = {
    var dated = 0L
    val aged = new Array[Long](lookbackDays + 2)
    for (place <- events) {
      val (eventDay, arrivedOn) = (dayOf(events.timeOf(place)), dayOf(events.arrivalOf(place)))
      if (eventDay == today) dated += 1
      if (arrivedOn == today) aged((arrivedOn - eventDay).toInt + 1) += 1
    }
    Map("dated" -> dated) ++ aged.zipWithIndex.map { case (lines, index) => s"aged_$index" -> lines }
  }

  private def sum(counts: RDD[Map[String, Long]]): Map[String, Long] =
    counts
      .fold(Map.empty)((one, other) =>
        (one.keySet ++ other.keySet).map(name => name -> (one.getOrElse(name, 0L) + other.getOrElse(name, 0L))).toMap
      )
      .withDefaultValue(0L)
}

object Transform {

  /** An event may be dated this long after the end of the hour in which it arrived. */
  val ClockSkewHours = 1L

  val MicrosOfHour: Long = 3600L * 1000 * 1000
  val MicrosOfDay: Long = 24 * MicrosOfHour

  val FilesSchema: StructType = StructType(
    Seq(
      StructField("file_name", StringType),
      StructField("content", BinaryType),
      StructField("arrived_at", TimestampType)
    )
  )

  private val HourFolder = DateTimeFormatter.ofPattern("'year='yyyy'/month='MM'/day='dd'/hour='HH")

  def dayOf(time: Long): Long = Math.floorDiv(time, MicrosOfDay)
}

/** What a raw file holds. Its lines arrived in one hour. `events` are those of them that are events and not late. */
case class RawFile(name: String, arrivedAt: Long, lines: Long, late: Long, rejected: Array[Rejected], events: Events)

/** A line that is no event. */
case class Rejected(reason: String, line: Array[Byte])

/** Events whose ids may have come twice. */
case class Marked(kept: Events, repeats: Events)

/** Events as numbers in one array. As objects they would take several times the memory, and every step longer.
  *
  * Each has two numbers for every id, whose order is that of the ids as text, then its time and its hour of arrival
  * (`Events.columns`); and its optional fields as text, null for none.
  */
class Events(table: EventTable) extends Serializable {
  private val width = 2 * table.ids.size + 2
  private val adColumn = 2 * table.ids.indexOf("ad_id")
  private var numbers = new Array[Long](0)
  private var count = 0
  // Empty as long as no event has one, as those of the beacons.
  private var texts = new Array[Array[String]](0)

  def size: Int = count
  def timeOf(place: Int): Long = numbers(place * width + width - 2)
  def arrivalOf(place: Int): Long = numbers(place * width + width - 1)
  def numbersOf(place: Int): Array[Long] = Arrays.copyOfRange(numbers, place * width, (place + 1) * width)
  def textOfId(place: Int, id: Int): Array[Byte] = Id.write(numbers, place * width + 2 * id)
  def hashOfOwnId(place: Int): Long = IdSet.hash(numbers(place * width), numbers(place * width + 1))

  def optionalOf(place: Int): Array[String] =
    if (place < texts.length && texts(place) != null) texts(place) else new Array[String](table.optional.size)

  /** Takes in an event, as `Events.columns` has it, and its optional fields; an empty array when it has none. */
  def add(event: Array[Long], optional: Array[String]): Unit = {
    grow(count + 1)
    System.arraycopy(event, 0, numbers, count * width, width)
    if (optional.nonEmpty) setTexts(count, optional)
    count += 1
  }

  def addAll(parts: Seq[Events]): Unit = {
    grow(count + parts.map(_.count).sum)
    for (part <- parts) {
      System.arraycopy(part.numbers, 0, numbers, count * width, part.count * width)
      for (place <- part.texts.indices) setTexts(count + place, part.texts(place))
      count += part.count
    }
  }

  def foreach(action: Int => Unit): Unit = {
    var place = 0
    while (place < count) {
      action(place)
      place += 1
    }
  }

  def where(condition: Int => Boolean): Events = {
    val found = new Events(table)
    foreach { place =>
      if (condition(place)) {
        found.grow(found.count + 1)
        System.arraycopy(numbers, place * width, found.numbers, found.count * width, width)
        if (place < texts.length) found.setTexts(found.count, texts(place))
        found.count += 1
      }
    }
    found.trim()
    found
  }

  /** Gives back what was taken for more events to come. */
  def trim(): Unit = {
    numbers = Arrays.copyOf(numbers, count * width)
    if (texts.length > count) texts = Arrays.copyOf(texts, count)
  }

  private def grow(needed: Int): Unit =
    if (needed * width > numbers.length) numbers = Arrays.copyOf(numbers, math.max(needed, 2 * count) * width)

  private def setTexts(place: Int, own: Array[String]): Unit = {
    if (place >= texts.length) texts = Arrays.copyOf(texts, numbers.length / width)
    texts(place) = own
  }

  /** The places in order of ad, time and own id. */
  def inOrder: Iterator[Int] = {
    val places = Array.tabulate(count)(_.toLong)
    sort(places, 0, count, 0)
    places.iterator.map(_.toInt)
  }

  private val orderedBy = Array(adColumn, adColumn + 1, width - 2, 0, 1)

  /** Sorts by half a number: it stands before the place in one number, and these sort fast. Those of which it is the same
    * by the next half, and so on.
    */
  private def sort(places: Array[Long], from: Int, until: Int, half: Int): Unit = {
    val column = orderedBy(half / 2)
    var index = from
    while (index < until) {
      val place = places(index) & 0xffffffffL
      val number = numbers(place.toInt * width + column)
      // The lower half has no sign.
      val decisive = if (half % 2 == 0) number >> 32 else (number & 0xffffffffL) - 0x80000000L
      places(index) = decisive << 32 | place
      index += 1
    }
    Arrays.sort(places, from, until)
    if (half + 1 < 2 * orderedBy.length) {
      var start = from
      index = from + 1
      while (index <= until) {
        if (index == until || places(index) >> 32 != places(start) >> 32) {
          if (index - start > 1) sort(places, start, index, half + 1)
          start = index
        }
        index += 1
      }
    }
  }
}

object Events {

  /** The names of an event's numbers. */
  def columns(table: EventTable): Seq[String] = table.ids.flatMap(columnsOfId) ++ Seq("occurred_at", "arrived_at")

  def columnsOfId(name: String): Seq[String] = Seq(s"${name}_high", s"${name}_low")

  /** About what an event takes, its place in an order included. */
  def bytes(table: EventTable): Int = 8 * (columns(table).size + 1) + 100 * table.optional.size
}

/** Parts put together, until there are as many events as a task may hold while it puts them in order and writes them. */
class Runs(parts: Iterator[Events], table: EventTable) extends Iterator[Events] {
  private val most = Runs.heapOfTask / Events.bytes(table)

  override def hasNext: Boolean = parts.hasNext

  override def next(): Events = {
    val taken = ArrayBuffer.empty[Events]
    var size = 0L
    while (parts.hasNext && size < most) {
      taken += parts.next()
      size += taken.last.size
    }
    val run = new Events(table)
    run.addAll(taken)
    run
  }
}

object Runs {

  /** Of the memory that falls to each processor, most is Spark's, for what it caches. */
  private def heapOfTask: Long = {
    val runtime = Runtime.getRuntime
    runtime.maxMemory / runtime.availableProcessors / 8
  }
}

/** A set of ids that takes the same room however many it has: it knows ids by a part of their hash, so it also holds some
  * that were never put in.
  */
object IdSet {
  private val Classes = 1 << 26

  def hash(high: Long, low: Long): Long = {
    val mixed = (high + low * 0x9e3779b97f4a7c15L ^ high >>> 32) * 0xbf58476d1ce4e5b9L
    val again = (mixed ^ mixed >>> 29) * 0x94d049bb133111ebL
    again ^ again >>> 32
  }

  private def classOf(hash: Long): Int = (hash >>> 38).toInt

  /** Into how many parts, about as many as `count`, a set is made; they follow each other. */
  def partsFor(count: Int): Int = Integer.highestOneBit(math.max(1, math.min(count, 4096)))

  def partOf(hash: Long, parts: Int): Int = classOf(hash) / (Classes / parts)

  /** The part of the set that has these hashes. */
  def part(hashes: Iterator[Long], parts: Int): Array[Long] = {
    val bits = new Array[Long](Classes / parts / 64)
    for (hash <- hashes) {
      val index = classOf(hash) % (Classes / parts)
      bits(index / 64) |= 1L << index
    }
    bits
  }

  def holds(set: Array[Long], hash: Long): Boolean = {
    val index = classOf(hash)
    (set(index / 64) >>> index & 1) != 0
  }
}

/** UUIDs as two numbers, and as text. */
object Id {
  val Form = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"
  private val DigitPlaces = Form.indices.filter(Form(_) == 'h').toArray
  private val Digits = "0123456789abcdef".getBytes(US_ASCII)
  private val ValueOf = Array.tabulate(128)(Character.digit(_, 16))

  /** Reads the UUID that starts at `start` into two numbers from `at` on. They are in the order of the text: a digit over 7
    * at the start must not make a number negative.
    */
  def read(text: Array[Byte], start: Int, numbers: Array[Long], at: Int): Unit = {
    numbers(at) = readDigits(text, start, 0) ^ Long.MinValue
    numbers(at + 1) = readDigits(text, start, 16) ^ Long.MinValue
  }

  private def readDigits(text: Array[Byte], start: Int, first: Int): Long = {
    var number = 0L
    var digit = first
    while (digit < first + 16) {
      number = number << 4 | ValueOf(text(start + DigitPlaces(digit)))
      digit += 1
    }
    number
  }

  /** The two numbers from `at` on as text, in lower case. */
  def write(numbers: Array[Long], at: Int): Array[Byte] = {
    val text = Form.getBytes(US_ASCII)
    writeDigits(numbers(at) ^ Long.MinValue, text, 0)
    writeDigits(numbers(at + 1) ^ Long.MinValue, text, 16)
    text
  }

  private def writeDigits(number: Long, text: Array[Byte], first: Int): Unit = {
    var digit = first
    while (digit < first + 16) {
      text(DigitPlaces(digit)) = Digits((number >>> 4 * (first + 15 - digit)).toInt & 15)
      digit += 1
    }
  }
}

/** Reads the lines of a file: what each is, and the fields of the events. */
class FileReader(table: EventTable, lookbackDays: Int) extends Serializable {
  import Transform._

  private val plainLine = new PlainLine(table.ids)
  private val otherLine = new OtherLine(table)

  def read(name: String, arrivedAt: Long, lines: Iterator[Array[Byte]]): RawFile = {
    val event = new Array[Long](Events.columns(table).size)
    val time = event.length - 2
    event(event.length - 1) = arrivedAt
    val early = arrivedAt + (1 + ClockSkewHours) * MicrosOfHour
    val events = new Events(table)
    val rejected = Array.newBuilder[Rejected]
    var (count, late) = (0L, 0L)

    def addEvent(optional: Array[String]): Unit =
      if (dayOf(arrivedAt) - dayOf(event(time)) > lookbackDays) late += 1 else events.add(event, optional)

    lines.foreach { line =>
      count += 1
      if (plainLine.read(line, event) && event(time) < early) addEvent(Array.empty)
      else
        otherLine.read(line, event) match {
          case Left(reason)                     => rejected += Rejected(reason, line)
          case Right(_) if event(time) >= early => rejected += Rejected("early", line)
          case Right(optional)                  => addEvent(optional)
        }
    }
    events.trim()
    RawFile(name, arrivedAt, count, late, rejected.result(), events)
  }
}

/** What a plain line is: one that is, to the letter, as the beacons write an event with these ids. Nearly all lines are.
  *
  * Each byte is held against what may stand at its place, which takes a fraction of the time of reading JSON and of
  * looking at each field.
  */
class PlainLine(ids: Seq[String]) extends Serializable {
  private val written = (ids.map(_ -> Id.Form) :+ ("occurred_at" -> PlainLine.TimeForm)).zipWithIndex.map {
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

  /** Reads the line's ids and time into the event (`Events.columns`). False when it is not plain, or its time is none. */
  def read(line: Array[Byte], event: Array[Long]): Boolean = isPlain(line) && {
    var id = 0
    while (id < ids.size) {
      Id.read(line, starts(id), event, 2 * id)
      id += 1
    }
    Time.read(line, starts.last, event, 2 * id)
  }

  private def isPlain(line: Array[Byte]): Boolean = line.length == setAt.length && {
    var place = 0
    while (place < line.length && (setsOf(line(place) & 0xff) & setAt(place)) != 0) place += 1
    place == line.length
  }
}

object PlainLine {
  private val TimeForm = "2ddd-dd-dd dd:dd:dd.ddd"

  private def charactersFor(place: Char): String = place match {
    case 'h'       => "0123456789abcdef"
    case 'd'       => "0123456789"
    case character => character.toString
  }
}

/** Any other line, which is read as JSON. */
class OtherLine(table: EventTable) extends Serializable {
  private val required = table.ids :+ "occurred_at"
  private val fields = new JsonFields(required ++ table.optionalNames)

  /** Reads the line's ids and time into the event (`Events.columns`). Returns its optional fields, or the reason why it is
    * no event. Unknown fields are ignored.
    */
  def read(line: Array[Byte], event: Array[Long]): Either[String, Array[String]] = {
    val text = new String(line, UTF_8)
    fields.read(text) match {
      case None => Left(if (OtherLine.isBlank(text)) "blank" else "malformed")
      case Some(values) =>
        def isGood(index: Int) = {
          val value = values(index)
          def text = value.getBytes(US_ASCII)
          if (index == table.ids.size) OtherLine.isTime(value) && Time.read(text, 0, event, 2 * index)
          else OtherLine.isUuid(value) && { Id.read(text, 0, event, 2 * index); true }
        }
        required.indices.find(index => values(index) == null || !isGood(index)) match {
          case Some(index) => Left((if (values(index) == null) "missing " else "invalid ") + required(index))
          case None        => Right(values.drop(required.size))
        }
    }
  }
}

object OtherLine {
  private val Blank = Pattern.compile("""\s*""")
  private val Uuid = Pattern.compile("""\p{XDigit}{8}-\p{XDigit}{4}-\p{XDigit}{4}-\p{XDigit}{4}-\p{XDigit}{12}""")
  private val OccurredAt = Pattern.compile("""[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?""")

  private def isBlank(line: String) = Blank.matcher(line).matches()
  private def isUuid(value: String) = Uuid.matcher(value).matches()
  private def isTime(value: String) = OccurredAt.matcher(value).matches()
}

/** A time as text, YYYY-MM-DD HH:MM:SS, and perhaps .mmm. */
object Time {

  /** Reads the time that starts at `start` into the number at `at`. False when there is no such time. */
  def read(text: Array[Byte], start: Int, numbers: Array[Long], at: Int): Boolean = {
    def number(offset: Int, length: Int) = {
      var value = 0
      var place = start + offset
      while (place < start + offset + length) {
        value = value * 10 + (text(place) - '0')
        place += 1
      }
      value
    }
    val millis = if (start + 19 < text.length && text(start + 19) == '.') number(20, 3) else 0
    try {
      val day = LocalDate.of(number(0, 4), number(5, 2), number(8, 2)).toEpochDay
      val time = LocalTime.of(number(11, 2), number(14, 2), number(17, 2), millis * 1000000)
      numbers(at) = day * Transform.MicrosOfDay + time.toNanoOfDay / 1000
      true
    } catch { case _: DateTimeException => false }
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

/** The fields of a line that is one JSON object and nothing else, as text; what is no text is told as JSON. None for any
  * other line.
  */
class JsonFields(names: Seq[String]) extends Serializable {

  def read(line: String): Option[Array[String]] = {
    val parser = JsonFields.Factory.createParser(line)
    try read(parser)
    catch { case _: JsonProcessingException => None }
    finally parser.close()
  }

  private def read(parser: JsonParser): Option[Array[String]] = {
    val values = new Array[String](names.size)
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
    if (parser.nextToken() == null) Some(values) else None
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

/** Acknowledged lines that Firehose set aside, since the metrics sink could not be called.
  *
  * https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
  */
object Undelivered {

  /** The lines in the error objects of the day, gzip or not. A record that can't be read counts as one, and so does a torn
    * object.
    */
  def count(spark: SparkSession, folder: String, day: LocalDate): Long = {
    val path = s"$folder/${Partition.pathOf(Partition.dayKeys(day))}"
    if (Files.list(spark, path).isEmpty) return 0
    val objects = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(path)
    objects.select("path", "content").rdd.map { case Row(name: String, content: Array[Byte]) => count(name, content) }
      .fold(0L)(_ + _)
  }

  private def count(name: String, content: Array[Byte]): Long = {
    val bytes = new ByteArrayInputStream(content)
    val isGzip = content.length > 1 && content(0) == 0x1f.toByte && content(1) == 0x8b.toByte
    val fields = new JsonFields(Seq("rawData"))
    try
      new Lines(name, if (isGzip) new GZIPInputStream(bytes) else bytes)
        .map(new String(_, UTF_8))
        .filterNot(_.isBlank)
        .map(record => linesOf(fields.read(record).flatMap(values => Option(values.head))))
        .sum
    catch { case _: IOException => 1L }
  }

  private def linesOf(rawData: Option[String]): Long =
    try rawData.map(Base64.getDecoder.decode).fold(1L) { data =>
      data.count(_ == '\n') + (if (data.nonEmpty && data.last != '\n') 1L else 0L)
    }
    catch { case _: IllegalArgumentException => 1L }
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

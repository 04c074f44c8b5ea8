// Appointments of one person: adding, moving and finding what overlaps.

export interface Appointment {
  id: number;
  title: string;
  start: Date;
  end: Date;
}

export class Calendar {
  private appointments: Appointment[] = [];
  private nextId = 1;

  add(title: string, start: Date, end: Date): Appointment {
    if (end <= start) {
      throw new Error("end must be after start");
    }
    const appointment: Appointment = { id: this.nextId, title, start, end };
    this.nextId += 1;
    this.appointments.push(appointment);
    return appointment;
  }

  remove(id: number): void {
    this.appointments = this.appointments.filter((appointment) => appointment.id !== id);
  }

  find(id: number): Appointment | undefined {
    return this.appointments.find((appointment) => appointment.id === id);
  }

  rename(id: number, title: string): void {
    const appointment = this.find(id);
    if (appointment === undefined) {
      throw new Error(`no appointment ${id}`);
    }
    appointment.title = title;
  }

  move(id: number, start: Date, end: Date): void {
    const appointment = this.find(id);
    if (appointment === undefined) {
      throw new Error(`no appointment ${id}`);
    }
    appointment.start = start;
    appointment.end = end;
  }

  titles(): string[] {
    return this.appointments.map((appointment) => appointment.title);
  }

  get count(): number {
    return this.appointments.length;
  }
}

export function overlaps(a: Appointment, b: Appointment): boolean {
  return a.start < b.end && b.start < a.end;
}

export function minutes(appointment: Appointment): number {
  return (appointment.end.getTime() - appointment.start.getTime()) / 60000;
}

export function totalMinutes(appointments: Appointment[]): number {
  let total = 0;
  for (const appointment of appointments) {
    total += minutes(appointment);
  }
  return total;
}
